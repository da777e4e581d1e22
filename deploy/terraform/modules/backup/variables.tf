variable "prefix" {
  description = "Prefix of every name; the same as the data's. Defaults to none."
  type        = string
  default     = ""
}

variable "log" {
  description = "The log: output log of the module data."
  type        = object({ arn = string, kms_key_arn = string })
}

variable "vault_arn" {
  description = <<-E
    The vault that the log is copied to: output vault_arn of the example backup-account, in another account of the organisation. In another
    region, too, if copies are to survive the loss of this one.
  E
  type        = string

  validation {
    condition     = can(regex("^arn:[^:]+:backup:[a-z0-9-]+:[0-9]{12}:backup-vault:.+$", var.vault_arn))
    error_message = "The ARN of a backup vault."
  }
}

variable "schedule" {
  description = "When, in UTC; what was written since is lost with the account. Defaults to 03:00 every day."
  type        = string
  default     = "cron(0 3 * * ? *)"
}

variable "keep_days" {
  description = "After how many days a copy is deleted. Defaults to 35."
  type        = number
  default     = 35
}

variable "key_users" {
  description = "Roles beside the system's own that may use the key through AWS Backup, as of the module data. Defaults to leftfold-deploy."
  type        = set(string)
  default     = ["leftfold-deploy"]
}

variable "permissions_boundary" {
  description = "ARN of a policy that bounds what the role can do; the example bootstrap makes one. Defaults to none."
  type        = string
  default     = null
}
