variable "name" {
  description = "Names the cluster."
  type        = string
}

variable "container_insights" {
  description = "enabled, enhanced or disabled; the first two are charged as metrics. Defaults to enabled."
  type        = string
  default     = "enabled"

  validation {
    condition     = contains(["enabled", "enhanced", "disabled"], var.container_insights)
    error_message = "enabled, enhanced or disabled."
  }
}
