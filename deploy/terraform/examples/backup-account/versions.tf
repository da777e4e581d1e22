terraform {
  required_version = ">= 1.10"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "6.25.0" # the tested version; modules accept any later 6
    }
  }
}

provider "aws" {
  region = var.region

  default_tags {
    tags = { system = "leftfold" }
  }
}
