variable "region" {
  description = "The region."
  type        = string
  default     = "eu-central-1"
}

variable "github_repository" {
  description = "Repository whose workflows may push images and deploy, such as leftfold/leftfold; null: none."
  type        = string
  default     = null
}
