data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}
data "aws_region" "this" {}

locals {
  name      = "${var.prefix}${var.name}"
  account   = data.aws_caller_identity.this.account_id
  partition = data.aws_partition.this.partition
  region    = data.aws_region.this.region

  # Within STOP_TIMEOUT work in flight is finished, and leases and messages are released. ECS kills a little later.
  stop_timeout = 20
  environment = merge({
    AWS_REGION   = local.region
    ENVIRONMENT  = "production"
    GOMAXPROCS   = tostring(ceil(var.cpu / 1024)) # Go would take at least 2: docs/benchmarks.md
    STOP_TIMEOUT = "${local.stop_timeout}s"
    }, local.tracing ? {
    OTEL_EXPORTER_OTLP_ENDPOINT = "http://127.0.0.1:4318"
    OTEL_TRACES_SAMPLER         = "parentbased_traceidratio"
    OTEL_TRACES_SAMPLER_ARG     = tostring(var.trace_ratio)
  } : {}, var.environment)

  container = {
    name                   = var.name
    image                  = var.image
    essential              = true
    memory                 = var.memory - length(local.collector) * local.collector_memory # a limit that the service can see
    user                   = "65532:65532"
    readonlyRootFilesystem = true
    stopTimeout            = local.stop_timeout + 10
    environment            = [for name in sort(keys(local.environment)) : { name = name, value = local.environment[name] }]
    secrets                = [for name in sort(keys(var.secrets)) : { name = name, valueFrom = var.secrets[name] }]
    portMappings           = [for port in concat(var.target == null ? [] : [8080], [9090]) : { containerPort = port, protocol = "tcp" }]
    linuxParameters        = { initProcessEnabled = false, capabilities = { drop = ["ALL"] } }

    # Liveness: ECS replaces the task when a loop of it hangs. That AWS is away is no reason.
    healthCheck = { command = ["CMD", "/app", "-health"], interval = 10, timeout = 6, retries = 3, startPeriod = 60 }

    # Non-blocking: an outage of CloudWatch must not stop the service.
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.this.name
        awslogs-region        = local.region
        awslogs-stream-prefix = "app"
        mode                  = "non-blocking"
        max-buffer-size       = "4m"
      }
    }
  }
}

locals {
  # Minutes that both builds run after a shift of traffic: longer than the alarms that roll a release back take to be raised.
  bake   = 15
  baking = { rolling = 0, blue_green = local.bake, canary = 2 * local.bake }[var.deployment]
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/leftfold/${local.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_ecs_task_definition" "this" {
  family                   = local.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn
  container_definitions    = jsonencode(concat([local.container], local.collector))

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = "ARM64"
  }
}

resource "aws_ecs_service" "this" {
  name                               = local.name
  cluster                            = var.cluster.arn
  task_definition                    = aws_ecs_task_definition.this.arn
  desired_count                      = var.scaling.min
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  availability_zone_rebalancing      = "ENABLED"
  enable_ecs_managed_tags            = true
  propagate_tags                     = "SERVICE"
  wait_for_steady_state              = true
  health_check_grace_period_seconds  = var.target == null ? null : 60

  capacity_provider_strategy {
    capacity_provider = var.spot ? "FARGATE_SPOT" : "FARGATE"
    weight            = 1
  }

  # The service never loses its two target groups, so that any strategy can follow any other without replacing it.
  # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/migrate-deployment-strategies.html
  deployment_configuration {
    strategy             = upper(var.deployment)
    bake_time_in_minutes = var.deployment == "rolling" ? null : local.bake

    dynamic "canary_configuration" {
      for_each = var.deployment == "canary" ? [local.bake] : []
      content {
        canary_percent              = 10
        canary_bake_time_in_minutes = canary_configuration.value
      }
    }
  }

  # A release whose tasks do not become ready is rolled back, and so is one that raises an alarm. ECS watches the alarms for as long
  # as they take to be raised: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-alarm-failure.html
  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  dynamic "alarms" {
    for_each = length(var.alarms) == 0 ? [] : [var.alarms]
    content {
      enable      = true
      rollback    = true
      alarm_names = alarms.value
    }
  }

  # A roll-back needs three failed tasks, each up to three minutes, and the start of the former release.
  timeouts {
    create = "${40 + local.baking}m"
    update = "${40 + local.baking}m"
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [aws_security_group.this.id]
    assign_public_ip = var.public
  }

  dynamic "service_registries" {
    for_each = var.registry_arn[*]
    content {
      registry_arn = service_registries.value
    }
  }

  dynamic "load_balancer" {
    for_each = var.target == null ? {} : var.target.ports
    content {
      target_group_arn = load_balancer.value.target_group_arn
      container_name   = var.name
      container_port   = load_balancer.key

      advanced_configuration {
        alternate_target_group_arn = load_balancer.value.alternate_target_group_arn
        production_listener_rule   = load_balancer.value.listener_rule_arn
        role_arn                   = var.target.role_arn
      }
    }
  }

  lifecycle {
    ignore_changes = [desired_count] # set by the autoscaler

    precondition {
      condition     = alltrue([for release in values(var.after) : release != ""])
      error_message = "The services that this one follows do not run this release."
    }

    # Steady is also a service that was rolled back: https://github.com/hashicorp/terraform-provider-aws/issues/20858
    postcondition {
      condition     = self.task_definition == aws_ecs_task_definition.this.arn
      error_message = "ECS rolled ${local.name} back: it runs ${self.task_definition}. See docs/operations.md#deployment-failed."
    }
  }

  depends_on = [aws_iam_role_policy.task, aws_iam_role_policy.execution]
}

resource "aws_security_group" "this" {
  name_prefix = "${local.name}-"
  description = "Tasks of ${local.name}"
  vpc_id      = var.vpc_id

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "edge" {
  for_each = var.target == null ? [] : toset(["8080", "9090"])

  security_group_id            = aws_security_group.this.id
  description                  = each.key == "8080" ? "Requests" : "Health checks"
  referenced_security_group_id = var.target.security_group_id
  ip_protocol                  = "tcp"
  from_port                    = each.key
  to_port                      = each.key
}

resource "aws_vpc_security_group_ingress_rule" "admin" {
  for_each = var.admin_cidrs

  security_group_id = aws_security_group.this.id
  description       = "Metrics, health, parked aggregates"
  cidr_ipv4         = each.key
  ip_protocol       = "tcp"
  from_port         = 9090
  to_port           = 9090
}

resource "aws_vpc_security_group_ingress_rule" "callers" {
  for_each = var.callers

  security_group_id = aws_security_group.this.id
  description       = "Requests of other tasks"
  cidr_ipv4         = each.key
  ip_protocol       = "tcp"
  from_port         = 8080
  to_port           = 8080
}

resource "aws_vpc_security_group_egress_rule" "calls" {
  for_each = var.calls

  security_group_id = aws_security_group.this.id
  description       = "Requests to other tasks"
  cidr_ipv4         = each.key
  ip_protocol       = "tcp"
  from_port         = 8080
  to_port           = 8080
}

resource "aws_vpc_security_group_egress_rule" "asks" {
  for_each = var.asks

  security_group_id = aws_security_group.this.id
  description       = "Admin addresses of other tasks"
  cidr_ipv4         = each.key
  ip_protocol       = "tcp"
  from_port         = 9090
  to_port           = 9090
}

resource "aws_vpc_security_group_egress_rule" "https" {
  security_group_id = aws_security_group.this.id
  description       = "AWS, and the issuer's keys"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}
