variable "prefix" {
  description = "Prefix of every name. Defaults to none."
  type        = string
  default     = ""
}

variable "role" {
  description = "Name of the role of AWS Backup, without the prefix."
  type        = string
}

variable "partners" {
  description = "ARNs of the vaults of other accounts that copies come from and go to; * is any text, but not of an account."
  type        = list(string)
}

variable "rights" {
  description = "What else the role may do, by name. Defaults to nothing."
  type        = map(object({ actions = list(string), resources = list(string) }))
  default     = {}
}

variable "key_users" {
  description = "Roles beside the system's own that may use the key through AWS Backup, what follows role/ in their ARN: who applies this."
  type        = set(string)
}

variable "permissions_boundary" {
  description = "ARN of a policy that bounds what the role can do. Defaults to none."
  type        = string
  default     = null
}
