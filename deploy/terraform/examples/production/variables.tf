variable "region" {
  description = "The region."
  type        = string
  default     = "eu-central-1"
}

variable "registry" {
  description = "Registry of the images, such as 123456789012.dkr.ecr.eu-central-1.amazonaws.com."
  type        = string
}

variable "image_tag" {
  description = "The release to run, such as v1.2.3."
  type        = string
}

variable "host" {
  description = "The API's host name, such as api.example.com."
  type        = string
}

variable "admin_cidrs" {
  description = "Networks of operators, who may act at port 9443; needs ADMIN_TOKEN in secrets. Defaults to none."
  type        = set(string)
  default     = []

  validation {
    condition     = length(var.admin_cidrs) == 0 || contains(keys(var.secrets), "ADMIN_TOKEN")
    error_message = "Operators need a token: ADMIN_TOKEN in secrets."
  }
}

variable "certificate_arn" {
  description = "The ACM certificate of host, in the same region."
  type        = string
}

variable "oidc_issuer" {
  description = "Issuer of the tokens that the API accepts, such as https://id.example.com."
  type        = string
}

variable "oidc_audience" {
  description = "The API's name in the aud claim of those tokens."
  type        = string
}

variable "processor_client_id" {
  description = "The issuer's client as which the processor gets its tokens, with the scopes that docs/security.md names."
  type        = string
}

variable "processor_secret_arn" {
  description = "The secret of processor_client_id, in Secrets Manager or in SSM's parameters."
  type        = string
}

variable "console" {
  description = <<-E
    The console at https://<host>/console: its client at the issuer, which returns to /console/callback, and by ARN its secrets:
    SESSION_KEYS and, if the client has one, LOGIN_CLIENT_SECRET. It asks the admin addresses, so ADMIN_TOKEN belongs into secrets.
    Defaults to none.
  E
  type        = object({ client_id = string, secrets = map(string) })
  default     = null

  validation {
    condition     = var.console == null || contains(keys(try(var.console.secrets, {})), "SESSION_KEYS")
    error_message = "The console needs SESSION_KEYS in its secrets."
  }
  validation {
    condition     = var.console == null || var.deployment == "rolling"
    error_message = "The console finds tasks by their names in Cloud Map, which only a rolling release keeps: deployment = \"rolling\"."
  }
}

variable "alarm_emails" {
  description = "E-mail addresses notified of alarms. Defaults to none."
  type        = set(string)
  default     = []
}

variable "deletion_protection" {
  description = "false lets terraform destroy delete tables and load balancer. Defaults to true."
  type        = bool
  default     = true
}

variable "secrets" {
  description = <<-E
    Variables of all services that are kept in Secrets Manager or in SSM's parameters, by ARN, such as ADMIN_TOKEN, which the operations
    of the admin address then require. Defaults to none.
  E
  type        = map(string)
  default     = {}
}

variable "secret_key_arns" {
  description = "Customer-managed keys of the secrets. Defaults to none."
  type        = set(string)
  default     = []
}

variable "collector_tag" {
  description = <<-E
    Version of the collector of metrics and traces, as deploy/copy-collector copies it; null: none, and no alarms that need it.
  E
  type        = string
  default     = "v0.50.0"
}

variable "key_users" {
  description = <<-E
    Roles that may use the keys through AWS's services beside the system's own: who applies this, and operators, such as
    aws-reserved/sso.amazonaws.com/*/AWSReservedSSO_Operators_*. Defaults to leftfold-deploy.
  E
  type        = set(string)
  default     = ["leftfold-deploy"]
}

variable "backup_vault_arn" {
  description = "Output vault_arn of the example backup-account: the log is copied there every day. Defaults to none."
  type        = string
  default     = null
}

variable "deployment" {
  description = "How a release replaces the tasks of services with an API: rolling, blue_green or canary. Defaults to rolling."
  type        = string
  default     = "rolling"
}

variable "permissions_boundary" {
  description = "Output of the example bootstrap; the role that deploys makes no role without it. Defaults to none."
  type        = string
  default     = null
}
