variable "region" {
  description = "The region of the copies; another one than the log's, if they are to survive its loss."
  type        = string
}

variable "source_accounts" {
  description = "The accounts whose logs are copied here, of the same organisation. A new one that a log is restored in is added here."
  type        = set(string)

  validation {
    condition     = length(var.source_accounts) > 0 && alltrue([for a in var.source_accounts : can(regex("^[0-9]{12}$", a))])
    error_message = "At least one account, by its 12 digits."
  }
}

variable "administrators" {
  description = <<-E
    Roles of this account that may use the key through AWS Backup: your own. As what follows role/ in their ARN, such as
    aws-reserved/sso.amazonaws.com/*/AWSReservedSSO_AdministratorAccess_*; * is any text.
  E
  type        = set(string)
}

variable "lock_days" {
  description = <<-E
    For how many days a copy cannot be deleted but by those with backup:DeleteBackupVaultLockConfiguration; no more than keep_days of the
    system's module backup, whose copies AWS Backup refuses else. It also stops the erasure of a person. Defaults to none.
  E
  type        = number
  default     = null
}
