variable "name" {
  description = "The service's name, such as streamer."
  type        = string
}

variable "prefix" {
  description = "Prefix of the names of roles and log groups. Defaults to none."
  type        = string
  default     = ""
}

variable "cluster" {
  description = "The ECS cluster."
  type        = object({ arn = string, name = string })
}

variable "image" {
  description = "The image with its tag."
  type        = string
}

variable "cpu" {
  description = "CPU units of a task, the collector's among them; 1024 are one. Defaults to 256."
  type        = number
  default     = 256
}

variable "memory" {
  description = "MiB of a task, the collector's among them. Defaults to 512."
  type        = number
  default     = 512
}

variable "environment" {
  description = "Variables, as in .env.example."
  type        = map(string)
  default     = {}
}

variable "secrets" {
  description = "Variables that are kept in Secrets Manager or in SSM's parameters, by ARN. Defaults to none."
  type        = map(string)
  default     = {}
}

variable "secret_key_arns" {
  description = "Customer-managed keys of the secrets. Their policies must leave access to IAM. Defaults to none: keys that AWS manages."
  type        = set(string)
  default     = []
}

variable "permissions" {
  description = "What the task may do, by a name of your choice; leading_keys are partition keys of a table's items."
  type = map(object({
    actions      = list(string)
    resources    = list(string)
    leading_keys = optional(list(string))
  }))
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets of the tasks."
  type        = list(string)
}

variable "public" {
  description = "Whether tasks have public addresses, for public subnets without NAT. Nothing can connect to them. Defaults to false."
  type        = bool
  default     = false
}

variable "registry_arn" {
  description = "The service in Cloud Map under whose name other tasks find these, without the load balancer. Defaults to none."
  type        = string
  default     = null

  validation {
    condition     = var.registry_arn == null || var.deployment == "rolling"
    error_message = "Traffic that does not pass the load balancer cannot be shifted: rolling for a service with a registry_arn."
  }
}

variable "callers" {
  description = "Networks of tasks that call the API at its port 8080, without the load balancer. Defaults to none."
  type        = set(string)
  default     = []
}

variable "calls" {
  description = "Networks of tasks whose API these call at its port 8080, without the load balancer. Defaults to none."
  type        = set(string)
  default     = []
}

variable "asks" {
  description = "Networks of tasks whose admin addresses these ask at port 9090. Defaults to none."
  type        = set(string)
  default     = []
}

variable "target" {
  description = "The load balancer's side of a service with a REST API: one of the edge's targets. Defaults to none."
  type = object({
    security_group_id = string
    role_arn          = string
    ports             = map(object({ target_group_arn = string, alternate_target_group_arn = string, listener_rule_arn = string }))
    metrics           = list(map(string))
  })
  default = null
}

variable "deployment" {
  description = <<-E
    How a release replaces the tasks: rolling, one by one; blue_green, all requests move to new tasks at once and the old ones stay for a
    quarter of an hour; canary, a tenth of the requests moves a quarter of an hour before the others. Defaults to rolling.
  E
  type        = string
  default     = "rolling"

  validation {
    condition     = contains(["rolling", "blue_green", "canary"], var.deployment)
    error_message = "rolling, blue_green or canary."
  }
  validation {
    condition     = var.deployment == "rolling" || var.target != null
    error_message = "Only a service with a target has requests that can move to new tasks: rolling for the others."
  }
}

variable "alarms" {
  description = "Names of alarms that roll a release back; observability's deployment_alarms has them. Defaults to none."
  type        = list(string)
  default     = []
}

variable "after" {
  description = "By name: the output release of services that must run a release before this one does. Defaults to none."
  type        = map(string)
  default     = {}
}

variable "admin_cidrs" {
  description = "Networks that may reach the admin address: Prometheus, operators (with a token if secrets has one). Defaults to none."
  type        = set(string)
  default     = []
}

variable "scaling" {
  description = <<-E
    How many tasks, and what adds more: CPU in percent, requests a minute and task (with a target), and any other signals that
    should stay at their target: one metric, or an expression of several. The one that needs most tasks decides; all must agree to
    remove tasks.
  E
  type = object({
    min      = optional(number, 2)
    max      = optional(number, 4)
    cpu      = optional(number, 60)
    requests = optional(number)
    signals = optional(map(object({
      target     = number
      expression = optional(string)
      metrics    = map(object({ namespace = string, metric = string, dimensions = map(string), statistic = string }))
    })), {})
  })
  default = {}

  validation {
    condition     = var.scaling.min >= 1 && var.scaling.max >= var.scaling.min
    error_message = "1 <= min <= max."
  }
  validation {
    condition     = alltrue([for s in values(var.scaling.signals) : length(s.metrics) == 1 || s.expression != null])
    error_message = "A signal has one metric or an expression."
  }
}

variable "spot" {
  description = "Whether tasks run on Fargate Spot, cheaper and stopped at two minutes' notice. Defaults to false."
  type        = bool
  default     = false
}

variable "collector_image" {
  description = "An AWS Distro for OpenTelemetry collector beside the service: metrics to CloudWatch, traces to X-Ray. Defaults to none."
  type        = string
  default     = null
}

variable "trace_ratio" {
  description = "Ratio of traces to sample; needs a collector that reaches X-Ray by NAT or an interface endpoint. Defaults to 0: none."
  type        = number
  default     = 0
}

variable "log_retention_days" {
  description = "How long logs are kept. Defaults to 30."
  type        = number
  default     = 30
}

variable "kms_key_arn" {
  description = "Key of the logs."
  type        = string
}

variable "permissions_boundary" {
  description = "ARN of a policy that bounds what the roles can do; the example bootstrap makes one. Defaults to none."
  type        = string
  default     = null
}
