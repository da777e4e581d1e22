variable "region" {
  description = "Where everything runs."
  type        = string
  default     = "eu-central-1"
}

variable "github_repository" {
  description = "Whose workflows may push images and deploy, such as leftfold/leftfold; null: nobody's."
  type        = string
  default     = null
}
