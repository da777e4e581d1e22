# The least that runs on AWS, for a trial: one small task of each service, no domain, nothing redundant. docs/costs.md has its price.
# Tasks are in public subnets with public addresses, which nothing can connect to, so there is neither NAT nor an endpoint to pay for.

module "network" {
  source              = "../../modules/network"
  name                = "leftfold-trial"
  zones               = 2 # a load balancer needs two
  interface_endpoints = []
}

module "data" {
  source              = "../../modules/data"
  prefix              = "trial-"
  stream_shards       = 1
  key_users           = ["*"] # whoever tries it
  deletion_protection = false
}

module "cluster" {
  source             = "../../modules/cluster"
  name               = "leftfold-trial"
  container_insights = "disabled"
}

module "edge" {
  source              = "../../modules/edge"
  name                = "leftfold-trial"
  vpc_id              = module.network.vpc_id
  vpc_cidr            = module.network.cidr
  subnet_ids          = module.network.public_subnet_ids
  plain_http          = true
  allowed_cidrs       = var.allowed_cidrs
  deletion_protection = false
}

locals {
  api = {
    OIDC_ISSUER     = var.oidc_issuer
    OIDC_AUDIENCE   = var.oidc_audience
    TRUSTED_PROXIES = join(",", module.network.public_cidrs)
  }
  consumers = jsondecode(file("${path.module}/../../modules/consumers.json")) # by service

  services = merge({
    command-api = local.api
    streamer    = { STREAM_POLL = "1s" } # each poll is charged
    broker      = {}
  }, { for service in keys(local.consumers) : service => merge(local.api, service == "processor" ? local.calls : {}) })

  domain = "leftfold-trial.internal"

  # The processes call two services inside the VPC, whoever else allowed_cidrs lets in.
  calls = {
    COMMAND_API_URL = "http://command-api.${local.domain}:8080"
    ROLES_URL       = "http://projector-role.${local.domain}:8080"
    OIDC_CLIENT_ID  = var.processor_client_id
  }
}

resource "aws_service_discovery_private_dns_namespace" "this" {
  name = local.domain
  vpc  = module.network.vpc_id
}

resource "aws_service_discovery_service" "called" {
  for_each = toset(["command-api", "projector-role"])

  name          = each.key
  force_destroy = true

  dns_config {
    namespace_id = aws_service_discovery_private_dns_namespace.this.id

    dns_records {
      type = "A"
      ttl  = 10
    }
  }

  health_check_custom_config {} # ECS takes out tasks that are not healthy
}

module "service" {
  source   = "../../modules/service"
  for_each = local.services

  prefix      = "trial-"
  name        = each.key
  image       = "${var.registry}/leftfold/${each.key}:${var.image_tag}"
  cluster     = module.cluster
  environment = merge(module.data.environment, each.value)
  secrets     = each.key == "processor" ? { OIDC_CLIENT_SECRET = var.processor_secret_arn } : {}
  permissions = module.data.access[each.key]
  target      = lookup(module.edge.targets, each.key, null)

  registry_arn = one([for name, called in aws_service_discovery_service.called : called.arn if name == each.key])
  callers      = contains(keys(aws_service_discovery_service.called), each.key) ? module.network.public_cidrs : []
  calls        = each.key == "processor" ? module.network.public_cidrs : []

  vpc_id      = module.network.vpc_id
  subnet_ids  = module.network.public_subnet_ids
  public      = true
  scaling     = { min = 1, max = 1 }
  kms_key_arn = module.data.kms_key_arn
}
