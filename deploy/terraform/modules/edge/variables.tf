variable "name" {
  description = "Names the load balancer, up to 16 characters: its target groups' names may have 32."
  type        = string

  validation {
    condition     = can(regex("^[a-zA-Z0-9-]{1,16}$", var.name))
    error_message = "Up to 16 of a-z, A-Z, 0-9 and -: the names of target groups begin with it, and AWS takes up to 32 characters of them."
  }
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "vpc_cidr" {
  description = "The VPC's addresses, where the tasks are."
  type        = string
}

variable "subnet_ids" {
  description = "Public subnets, or private ones with internal."
  type        = list(string)
}

variable "certificate_arn" {
  description = "The ACM certificate of the API's host name, in this region; needed unless plain_http. Defaults to none."
  type        = string
  default     = null
}

variable "plain_http" {
  description = "Whether the API is served by HTTP, without a certificate, for a trial. Defaults to false."
  type        = bool
  default     = false

  validation {
    condition     = !var.plain_http || !anytrue([for cidr in var.allowed_cidrs : endswith(cidr, "/0")])
    error_message = "By HTTP everyone on the way can read tokens: allowed_cidrs must name your own networks."
  }
}

variable "internal" {
  description = "Whether the API is reachable only inside the VPC. Defaults to false."
  type        = bool
  default     = false
}

variable "allowed_cidrs" {
  description = "Networks that may connect. Defaults to all."
  type        = set(string)
  default     = ["0.0.0.0/0"]
}

variable "console" {
  description = "Whether the console's pages are served, below /console; they need https. Defaults to false."
  type        = bool
  default     = false

  validation {
    condition     = !var.console || !var.plain_http
    error_message = "Sessions must not cross a network in plain text: no console with plain_http."
  }
}

variable "admin_cidrs" {
  description = <<-E
    Networks of operators, who may call the projections' operations of the admin address at port 9443; the services must require
    ADMIN_TOKEN and know the host name as ADMIN_HOSTS. Defaults to none.
  E
  type        = set(string)
  default     = []

  validation {
    condition     = length(var.admin_cidrs) == 0 || !var.plain_http
    error_message = "The token of operators must not cross a network in plain text: no admin_cidrs with plain_http."
  }
}

variable "deletion_protection" {
  description = "Whether the load balancer refuses to be deleted. Defaults to true."
  type        = bool
  default     = true
}

variable "ssl_policy" {
  description = "Protocols and ciphers. Defaults to TLS 1.2 with forward secrecy and 1.3."
  type        = string
  default     = "ELBSecurityPolicy-TLS13-1-2-2021-06"
}

variable "access_log_bucket" {
  description = "An S3 bucket for access logs, which hold addresses and paths; it must let the load balancer write. Defaults to none."
  type        = string
  default     = null
}

variable "waf" {
  description = "Whether AWS WAF filters requests: known bad addresses and inputs, and a limit for each address. Defaults to false."
  type        = bool
  default     = false
}

variable "waf_requests_per_5m" {
  description = "Requests of one address in five minutes. Defaults to 15000: 50 a second, as RATE_LIMIT."
  type        = number
  default     = 15000
}

variable "permissions_boundary" {
  description = "ARN of a policy that bounds what the role of deployments can do; the example bootstrap makes one. Defaults to none."
  type        = string
  default     = null
}
