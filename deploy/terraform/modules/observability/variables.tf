variable "prefix" {
  description = "Prefix of the names of alarms; the same as the data's and the services'. Defaults to none."
  type        = string
  default     = ""
}

variable "emails" {
  description = "E-mail addresses notified of alarms; each must confirm a mail first. Defaults to none."
  type        = set(string)
  default     = []
}

variable "manual" {
  description = "URL of docs/operations.md, for the links in alarms."
  type        = string
  default     = "https://github.com/leftfold/leftfold/blob/main/docs/operations.md"
}

variable "collector" {
  description = "Whether the services have a collector: without it there are no alarms on the services' own metrics. Defaults to true."
  type        = bool
  default     = true
}

variable "container_insights" {
  description = "Whether the cluster has Container Insights, which count tasks. Defaults to true."
  type        = bool
  default     = true
}

variable "cluster" {
  description = "Name of the ECS cluster."
  type        = string
}

variable "services" {
  description = "Names of the services, without the prefix."
  type        = list(string)
}

variable "load_balancer" {
  description = "The load balancer's arn_suffix."
  type        = string
}

variable "targets" {
  description = "By service: the dimensions of its target groups' metrics, as the edge's targets have them."
  type        = map(list(map(string)))
}

variable "tables" {
  description = "Names of the tables."
  type        = list(string)
}

variable "indexes" {
  description = "The tables' indexes."
  type        = list(object({ table = string, index = string }))
}

variable "stream" {
  description = "Name of the Kinesis stream."
  type        = string
}

variable "queues" {
  description = "Names of the queues."
  type        = list(string)
}

variable "dead_letter_queues" {
  description = "Names of the dead-letter queues."
  type        = list(string)
}

variable "firehose" {
  description = "Name of the Firehose that fills the archive."
  type        = string
}

variable "backed_up" {
  description = "ARNs of the tables that AWS Backup copies to another account. Defaults to none."
  type        = list(string)
  default     = []
}

variable "certificate_arn" {
  description = "The API's certificate. Defaults to none."
  type        = string
  default     = null
}

variable "key_arns" {
  description = "The keys that encrypt the data."
  type        = list(string)
}
