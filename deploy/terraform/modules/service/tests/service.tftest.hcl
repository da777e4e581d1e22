mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name        = "streamer"
  cluster     = { arn = "arn:aws:ecs:eu-central-1:123456789012:cluster/leftfold", name = "leftfold" }
  image       = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/leftfold/streamer:v1"
  vpc_id      = "vpc-1"
  subnet_ids  = ["subnet-1"]
  kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  environment = { TABLE_EVENT_LOG = "EventLog", STOP_TIMEOUT = "20s" }
  permissions = {
    log = { actions = ["dynamodb:Scan"], resources = ["arn:aws:dynamodb:eu-central-1:123456789012:table/EventLog"] }
    own = {
      actions      = ["dynamodb:Query"]
      resources    = ["arn:aws:dynamodb:eu-central-1:123456789012:table/leases"]
      leading_keys = ["streamer"]
    }
  }
}

run "a_reader" {
  command = apply

  assert {
    condition = (
      length(jsondecode(aws_ecs_task_definition.this.container_definitions)) == 1
      && jsondecode(aws_ecs_task_definition.this.container_definitions)[0].readonlyRootFilesystem
      && jsondecode(aws_ecs_task_definition.this.container_definitions)[0].stopTimeout == 30
      && jsondecode(aws_ecs_task_definition.this.container_definitions)[0].healthCheck.command == ["CMD", "/app", "-health"]
    )
    error_message = "One container that cannot write, has a health check and has time to stop."
  }
  assert {
    condition = contains(jsondecode(aws_ecs_task_definition.this.container_definitions)[0].environment, {
      name = "GOMAXPROCS", value = "1"
    })
    error_message = "A quarter of a CPU is one thread for Go."
  }
  assert {
    condition     = aws_ecs_service.this.deployment_circuit_breaker[0].rollback && length(aws_ecs_service.this.load_balancer) == 0
    error_message = "A bad release is rolled back; no load balancer."
  }
  assert {
    condition = (
      length(aws_ecs_service.this.alarms) == 0
      && !contains(data.aws_iam_policy_document.execution.statement[*].sid, "SecretKeys")
    )
    error_message = "Without alarms and keys there is nothing of them."
  }
  assert {
    condition = data.aws_iam_policy_document.task.statement[1].condition == toset([
      { test = "ForAllValues:StringEquals", variable = "dynamodb:LeadingKeys", values = tolist(["streamer"]) },
    ]) && length(data.aws_iam_policy_document.task.statement) == 2
    error_message = "The role may do what it was given and nothing else."
  }
  assert {
    condition     = local.repositories == ["arn:aws:ecr:eu-central-1:123456789012:repository/leftfold/streamer"]
    error_message = "It pulls its own image."
  }
  assert {
    condition     = aws_appautoscaling_target.this.min_capacity == 2 && length(aws_appautoscaling_policy.signal) == 0
    error_message = "Two tasks, by default, in two zones."
  }
  assert {
    condition = (
      length(aws_ecs_service.this.service_registries) == 0
      && length(aws_vpc_security_group_ingress_rule.callers) + length(aws_vpc_security_group_egress_rule.calls) == 0
    )
    error_message = "Other tasks neither find it nor connect."
  }
}

run "an_api_that_other_tasks_call" {
  command = apply

  variables {
    registry_arn = "arn:aws:servicediscovery:eu-central-1:123456789012:service/srv-0"
    callers      = ["10.0.0.0/24"]
    calls        = ["10.0.1.0/24"]
  }

  assert {
    condition     = one(aws_ecs_service.this.service_registries).registry_arn == var.registry_arn
    error_message = "Its tasks are found by name."
  }
  assert {
    condition = (
      aws_vpc_security_group_ingress_rule.callers["10.0.0.0/24"].from_port == 8080
      && aws_vpc_security_group_egress_rule.calls["10.0.1.0/24"].to_port == 8080
    )
    error_message = "Requests of the named networks, and to them."
  }
}

run "an_api_with_a_collector" {
  command = apply

  variables {
    name = "projector-user"
    target = {
      security_group_id = "sg-1"
      role_arn          = "arn:aws:iam::123456789012:role/leftfold/leftfold-deployments"
      ports = {
        8080 = {
          target_group_arn           = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/user/0"
          alternate_target_group_arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/user-alt/0"
          listener_rule_arn          = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:listener-rule/app/leftfold/0/0/0"
        }
        9090 = {
          target_group_arn           = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/user-admin/0"
          alternate_target_group_arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/user-admin-alt/0"
          listener_rule_arn          = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:listener-rule/app/leftfold/0/1/0"
        }
      }
      metrics = [
        { LoadBalancer = "app/leftfold/0", TargetGroup = "targetgroup/user/0" },
        { LoadBalancer = "app/leftfold/0", TargetGroup = "targetgroup/user-alt/0" },
      ]
    }
    deployment      = "canary"
    collector_image = "public.ecr.aws/aws-observability/aws-otel-collector:v0.50.0"
    trace_ratio     = 0.05
    secrets         = { OTEL_EXPORTER_OTLP_HEADERS = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:otel-a1b2c3:headers::" }
    scaling = {
      requests = 6000
      signals = { backlog = {
        target = 1000, expression = "waiting / tasks"
        metrics = {
          waiting = {
            namespace  = "AWS/SQS", metric = "ApproximateNumberOfMessagesVisible", statistic = "Maximum"
            dimensions = { QueueName = "q" }
          }
          tasks = {
            namespace  = "ECS/ContainerInsights", metric = "RunningTaskCount", statistic = "Average"
            dimensions = { ServiceName = "s" }
          }
        }
      } }
    }
    alarms          = ["leftfold/service-errors/projector-user"]
    secret_key_arns = ["arn:aws:kms:eu-central-1:123456789012:key/11111111-1111-1111-1111-111111111111"]
  }

  assert {
    condition     = [for c in jsondecode(aws_ecs_task_definition.this.container_definitions) : c.name] == ["projector-user", "collector"]
    error_message = "The collector is a second container."
  }
  assert {
    condition = contains(jsondecode(aws_ecs_task_definition.this.container_definitions)[0].environment, {
      name = "OTEL_EXPORTER_OTLP_ENDPOINT", value = "http://127.0.0.1:4318"
    })
    error_message = "Traces go to the collector."
  }
  assert {
    condition     = [for s in data.aws_iam_policy_document.task.statement : s.sid] == ["log", "own", "Metrics", "Traces"]
    error_message = "The collector has rights."
  }
  assert {
    condition = one([for s in data.aws_iam_policy_document.execution.statement : s if s.sid == "SecretKeys"]).condition == toset([{
      test   = "StringEquals", variable = "kms:ViaService"
      values = tolist(["secretsmanager.eu-central-1.amazonaws.com", "ssm.eu-central-1.amazonaws.com"])
    }])
    error_message = "ECS may decrypt secrets under a key of one's own, and nothing else under it."
  }
  assert {
    condition     = toset([for b in aws_ecs_service.this.load_balancer : b.container_port]) == toset([8080, 9090])
    error_message = "Requests, and operators."
  }
  assert {
    condition     = aws_ecs_service.this.alarms[0].rollback && aws_ecs_service.this.alarms[0].enable
    error_message = "A release that raises an alarm is rolled back."
  }
  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[1].restartPolicy.enabled
    error_message = "A collector that ends is started again."
  }
  assert {
    condition     = local.secret_arns == ["arn:aws:secretsmanager:eu-central-1:123456789012:secret:otel-a1b2c3"]
    error_message = "ECS may read the secret, whichever key of it is used."
  }
  assert {
    condition = (
      keys(aws_appautoscaling_policy.signal) == ["backlog", "requests"]
      && local.signals.requests.expression == "FILL(group0, 0) + FILL(group1, 0)"
    )
    error_message = "Requests, at whichever target group, and the backlog of each task add tasks."
  }
  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.edge) == 2 && length(aws_vpc_security_group_ingress_rule.admin) == 0
    error_message = "Only the load balancer reaches it."
  }
}

run "traffic_of_a_service_without_any" {
  command = plan

  variables {
    deployment = "blue_green"
  }

  expect_failures = [var.deployment]
}

run "a_deployment_that_is_none" {
  command = plan

  variables {
    deployment = "BLUE_GREEN"
  }

  expect_failures = [var.deployment]
}
