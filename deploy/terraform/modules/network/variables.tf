variable "name" {
  description = "Names the VPC and what is in it."
  type        = string
}

variable "cidr" {
  description = "Addresses of the VPC, a /16. Defaults to 10.0.0.0/16."
  type        = string
  default     = "10.0.0.0/16"

  validation {
    condition     = can(cidrhost(var.cidr, 0)) && endswith(var.cidr, "/16")
    error_message = "A network such as 10.0.0.0/16."
  }
}

variable "zones" {
  description = "Over how many availability zones the system spreads, 2 or 3. Defaults to 2."
  type        = number
  default     = 2

  validation {
    condition     = contains([2, 3], var.zones)
    error_message = "2 or 3."
  }
}

variable "nat_gateways" {
  description = <<-E
    0, 1 or one for each zone. AWS is reached without one; the token issuer's keys (OIDC_ISSUER) and an image of a collector from a
    public registry are not, unless the VPC reaches them otherwise. Defaults to 0.
  E
  type        = number
  default     = 0

  validation {
    condition     = var.nat_gateways == 0 || var.nat_gateways == 1 || var.nat_gateways == var.zones
    error_message = "0, 1 or as many as zones."
  }
}

variable "interface_endpoints" {
  description = <<-E
    AWS services reached inside the VPC, each charged by the hour and zone. Defaults to all that the tasks call. Add secretsmanager or
    ssm where a service's secrets are kept there, unless there are NAT gateways.
  E
  type        = set(string)
  default     = ["dynamodb-streams", "kinesis-streams", "sqs", "ecr.api", "ecr.dkr", "logs"]
}
