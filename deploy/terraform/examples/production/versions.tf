terraform {
  required_version = ">= 1.10"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "6.25.0" # the one that all was checked with; modules take any 6 from it on
    }
  }

  # terraform init -backend-config="bucket=…": the bucket that examples/bootstrap makes.
  backend "s3" {
    key          = "leftfold/production.tfstate"
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region = var.region

  default_tags {
    tags = { system = "leftfold", environment = "production" }
  }
}
