# The whole system on one page. Each block sets only what differs from the modules' defaults.

module "network" {
  source       = "../../modules/network"
  name         = "leftfold"
  zones        = 2
  nat_gateways = 1 # for the issuer's keys and the collector's image; AWS needs none
}

module "data" {
  source              = "../../modules/data"
  stream_shards       = 2
  deletion_protection = var.deletion_protection
}

module "cluster" {
  source = "../../modules/cluster"
  name   = "leftfold"
}

module "edge" {
  source              = "../../modules/edge"
  name                = "leftfold"
  vpc_id              = module.network.vpc_id
  vpc_cidr            = module.network.cidr
  subnet_ids          = module.network.public_subnet_ids
  certificate_arn     = var.certificate_arn
  deletion_protection = var.deletion_protection
}

locals {
  api = {
    OIDC_ISSUER     = var.oidc_issuer
    OIDC_AUDIENCE   = var.oidc_audience
    TRUSTED_PROXIES = join(",", module.network.public_cidrs)
  }

  # What adds tasks: requests for the APIs, age of the records read for the readers, age of the oldest message for the projectors.
  # More readers than shards would be idle.
  behind = { for service in ["streamer", "broker"] : service => var.collector_image == null ? {} : { behind = {
    namespace  = "Leftfold", metric = "leftfold_shards_behind_seconds", statistic = "Maximum", target = 15,
    dimensions = { service = service }
  } } }
  waiting = { for service, queue in { projector-user = "QUEUE_IAM_USER", projector-role = "QUEUE_IAM_ROLE" } : service => { waiting = {
    namespace  = "AWS/SQS", metric = "ApproximateAgeOfOldestMessage", statistic = "Maximum", target = 15,
    dimensions = { QueueName = module.data.queues[queue] }
  } } }

  services = {
    command-api = { cpu = 512, memory = 1024, environment = local.api, scaling = { max = 10, requests = 6000 } }
    streamer = {
      scaling     = { max = 4, signals = local.behind.streamer }
      environment = { AWS_ENDPOINT_URL_DYNAMODB_STREAMS = module.network.table_streams_endpoint }
    }
    broker         = { scaling = { max = 2, signals = local.behind.broker } }
    projector-user = { environment = local.api, scaling = { max = 10, requests = 12000, signals = local.waiting.projector-user } }
    projector-role = { environment = local.api, scaling = { max = 10, requests = 12000, signals = local.waiting.projector-role } }
  }
}

module "service" {
  source   = "../../modules/service"
  for_each = local.services

  name            = each.key
  image           = "${var.registry}/leftfold/${each.key}:${var.image_tag}"
  cluster         = module.cluster
  cpu             = try(each.value.cpu, 256)
  memory          = try(each.value.memory, 512)
  environment     = merge(module.data.environment, try(each.value.environment, {}))
  permissions     = module.data.access[each.key]
  target          = lookup(module.edge.targets, each.key, null)
  vpc_id          = module.network.vpc_id
  subnet_ids      = module.network.private_subnet_ids
  scaling         = each.value.scaling
  collector_image = var.collector_image
  kms_key_arn     = module.data.kms_key_arn
}

module "observability" {
  source             = "../../modules/observability"
  emails             = var.alarm_emails
  collector          = var.collector_image != null
  cluster            = module.cluster.name
  services           = [for s in module.service : s.name]
  load_balancer      = module.edge.arn_suffix
  targets            = { for service, t in module.edge.targets : service => t.arn_suffix }
  tables             = module.data.tables
  stream             = module.data.stream
  queues             = values(module.data.queues)
  dead_letter_queues = module.data.dead_letter_queues
  firehose           = module.data.archive.firehose
}
