# The whole system on one page. Each block sets only what differs from the modules' defaults.

module "network" {
  source       = "../../modules/network"
  name         = "leftfold"
  zones        = 3
  nat_gateways = 3 # for the issuer, and for processor's calls of the API; AWS needs none. One in each zone, so that none depends on another

  interface_endpoints = concat(
    ["dynamodb-streams", "kinesis-streams", "sqs", "ecr.api", "ecr.dkr", "logs"], local.secret_stores,
  )
}

module "data" {
  source                 = "../../modules/data"
  stream_shards          = local.stream_shards
  stream_retention_hours = 168 # a week to notice that the archive or the broker does not read
  deletion_protection    = var.deletion_protection
  key_users              = var.key_users
  permissions_boundary   = var.permissions_boundary
}

module "backup" {
  source = "../../modules/backup"
  count  = var.backup_vault_arn == null ? 0 : 1

  log                  = module.data.log
  vault_arn            = var.backup_vault_arn
  key_users            = var.key_users
  permissions_boundary = var.permissions_boundary
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
  admin_cidrs         = var.admin_cidrs
  console             = var.console != null
  deletion_protection = var.deletion_protection

  permissions_boundary = var.permissions_boundary
}

locals {
  stream_shards = 2

  consumers = jsondecode(file("${path.module}/../../modules/consumers.json")) # by service

  console_secrets = try(var.console.secrets, {})
  secret_stores = distinct([ # secretsmanager, ssm
    for arn in concat(values(var.secrets), values(local.console_secrets), [var.processor_secret_arn]) : split(":", arn)[2]
  ])

  collector_image = one([for tag in var.collector_tag[*] : "${var.registry}/leftfold/collector:${tag}"])

  api = {
    OIDC_ISSUER     = var.oidc_issuer
    OIDC_AUDIENCE   = var.oidc_audience
    TRUSTED_PROXIES = join(",", module.network.public_cidrs)
    ADMIN_HOSTS     = var.host
  }

  # The processes call the API as its other clients do, by NAT; so allowed_cidrs of the edge, if given, must name the NAT gateways'
  # addresses.
  calls = { COMMAND_API_URL = "https://${var.host}", ROLES_URL = "https://${var.host}", OIDC_CLIENT_ID = var.processor_client_id }

  # What adds tasks: requests for the APIs; for the others, messages waiting and events of a minute, for each task. Age would not do: one
  # aggregate, or one record, that fails for days lets it grow.
  loads = merge({
    streamer = { target = 30000, metric = {
      namespace  = "AWS/DynamoDB", metric = "ConsumedWriteCapacityUnits", statistic = "Sum"
      dimensions = { TableName = module.data.environment.TABLE_EVENT_LOG }
    } }
    broker = { target = 30000, metric = {
      namespace  = "AWS/Kinesis", metric = "IncomingRecords", statistic = "Sum"
      dimensions = { StreamName = module.data.stream }
    } }
    }, { for service, of in local.consumers : service => { target = 1000, metric = {
      namespace  = "AWS/SQS", metric = "ApproximateNumberOfMessagesVisible", statistic = "Maximum"
      dimensions = { QueueName = module.data.queues[of.queue.variable] }
  } } })
  signals = { for service, of in local.loads : service => { load = {
    target     = of.target
    expression = "FILL(load, 0) / tasks" # none is sent of a night without events
    metrics = {
      load = of.metric
      tasks = {
        namespace  = "ECS/ContainerInsights", metric = "RunningTaskCount", statistic = "Average"
        dimensions = { ClusterName = module.cluster.name, ServiceName = service }
      }
    }
  } } }

  # The console asks the tasks of each service at their admin addresses, by the service's name in a private DNS zone.
  domain = "leftfold.internal"
  asked  = var.console == null ? [] : concat(["command-api", "streamer", "broker"], keys(local.consumers))
  console = {
    API_URL         = "https://${var.host}" # by NAT, as the processes call it
    LOGIN_CLIENT_ID = try(var.console.client_id, "")
    ADMIN_URLS      = join(",", [for service in local.asked : "http://${service}.${local.domain}:9090"])
  }

  services = merge(var.console == null ? {} : {
    console = { environment = merge(local.api, local.console), scaling = { min = 2, max = 2 } }
    }, {
    command-api = { cpu = 512, memory = 1024, environment = local.api, scaling = { max = 10, requests = 6000 } }
    streamer = {
      scaling     = { max = 4, signals = local.signals.streamer } # a table's stream has about four shards
      environment = { AWS_ENDPOINT_URL_DYNAMODB_STREAMS = module.network.table_streams_endpoint }
    }
    broker = { scaling = { max = local.stream_shards, signals = local.signals.broker } } # a task without a shard would be idle
    }, { for service in keys(local.consumers) : service => {
      environment = service == "processor" ? merge(local.api, local.calls) : local.api
      scaling     = { max = service == "processor" ? 2 : 10, requests = 12000, signals = local.signals[service] }
  } })
}

resource "aws_service_discovery_private_dns_namespace" "this" {
  count = var.console == null ? 0 : 1

  name = local.domain
  vpc  = module.network.vpc_id
}

resource "aws_service_discovery_service" "asked" {
  for_each = toset(local.asked)

  name          = each.key
  force_destroy = true

  dns_config {
    namespace_id = aws_service_discovery_private_dns_namespace.this[0].id

    dns_records {
      type = "A"
      ttl  = 10
    }
  }

  health_check_custom_config {} # ECS takes out tasks that are not healthy
}

# Those that hear events first, and the others once these are steady: an event is not written before its readers know it.
module "projector" {
  source   = "../../modules/service"
  for_each = { for name, s in local.services : name => s if contains(keys(local.consumers), name) }

  name            = each.key
  image           = "${var.registry}/leftfold/${each.key}:${var.image_tag}"
  cluster         = module.cluster
  cpu             = try(each.value.cpu, 256)
  memory          = try(each.value.memory, 512)
  environment     = merge(module.data.environment, try(each.value.environment, {}))
  secrets         = merge(var.secrets, each.key == "processor" ? { OIDC_CLIENT_SECRET = var.processor_secret_arn } : {})
  secret_key_arns = var.secret_key_arns
  permissions     = module.data.access[each.key]
  target          = lookup(module.edge.targets, each.key, null)
  registry_arn    = one([for name, asked in aws_service_discovery_service.asked : asked.arn if name == each.key])
  admin_cidrs     = contains(local.asked, each.key) ? module.network.private_cidrs : []
  vpc_id          = module.network.vpc_id
  subnet_ids      = module.network.private_subnet_ids
  scaling         = each.value.scaling
  alarms          = module.observability.deployment_alarms[each.key]
  deployment      = var.deployment
  collector_image = local.collector_image
  kms_key_arn     = module.data.kms_key_arn

  permissions_boundary = var.permissions_boundary
}

module "service" {
  source   = "../../modules/service"
  for_each = { for name, s in local.services : name => s if !contains(keys(local.consumers), name) }

  name            = each.key
  image           = "${var.registry}/leftfold/${each.key}:${var.image_tag}"
  cluster         = module.cluster
  cpu             = try(each.value.cpu, 256)
  memory          = try(each.value.memory, 512)
  environment     = merge(module.data.environment, try(each.value.environment, {}))
  secrets         = merge(var.secrets, each.key == "console" ? local.console_secrets : {})
  secret_key_arns = var.secret_key_arns
  permissions     = module.data.access[each.key]
  target          = lookup(module.edge.targets, each.key, null)
  registry_arn    = one([for name, asked in aws_service_discovery_service.asked : asked.arn if name == each.key])
  admin_cidrs     = contains(local.asked, each.key) ? module.network.private_cidrs : []
  asks            = each.key == "console" ? module.network.private_cidrs : []
  vpc_id          = module.network.vpc_id
  subnet_ids      = module.network.private_subnet_ids
  scaling         = each.value.scaling
  alarms          = module.observability.deployment_alarms[each.key]
  after           = { for name, p in module.projector : name => p.release }
  deployment      = contains(keys(module.edge.targets), each.key) ? var.deployment : "rolling"
  collector_image = local.collector_image
  kms_key_arn     = module.data.kms_key_arn

  permissions_boundary = var.permissions_boundary
}

module "observability" {
  source             = "../../modules/observability"
  emails             = var.alarm_emails
  collector          = local.collector_image != null
  cluster            = module.cluster.name
  services           = keys(local.services)
  load_balancer      = module.edge.arn_suffix
  targets            = { for service, t in module.edge.targets : service => t.metrics }
  certificate_arn    = var.certificate_arn
  tables             = module.data.tables
  indexes            = module.data.indexes
  stream             = module.data.stream
  queues             = values(module.data.queues)
  dead_letter_queues = module.data.dead_letter_queues
  firehose           = module.data.archive.firehose
  backed_up          = [for b in module.backup : module.data.log.arn]
  key_arns           = concat(module.data.key_arns, module.backup[*].key_arn)
}
