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

variable "allowed_cidrs" {
  description = "Networks that may call the API: your own, such as 192.0.2.1/32, since it is served by HTTP."
  type        = set(string)
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
