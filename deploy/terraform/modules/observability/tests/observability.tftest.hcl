mock_provider "aws" {
  source = "../../mocks"
}

variables {
  cluster       = "leftfold"
  services      = ["command-api", "streamer", "broker", "projector-user", "projector-role", "projector-audit", "processor"]
  load_balancer = "app/leftfold/0"
  targets = { for service, group in { command-api = "command", projector-user = "user" } : service => [
    { LoadBalancer = "app/leftfold/0", TargetGroup = "targetgroup/${group}/0" },
    { LoadBalancer = "app/leftfold/0", TargetGroup = "targetgroup/${group}-alt/0" },
  ] }
  tables             = ["EventLog", "leases"]
  stream             = "event-source"
  queues             = ["IamUserQueue.fifo", "IamRoleQueue.fifo", "IamAuditQueue.fifo", "IamProcessQueue.fifo"]
  dead_letter_queues = ["IamUserQueue-dlq.fifo", "IamRoleQueue-dlq.fifo", "IamAuditQueue-dlq.fifo", "IamProcessQueue-dlq.fifo"]
  firehose           = "leftfold-archive"
  emails             = ["oncall@example.com"]
  indexes            = [{ table = "projection-user", index = "listing" }]
  certificate_arn    = "arn:aws:acm:eu-central-1:123456789012:certificate/00000000-0000-0000-0000-000000000000"
  key_arns           = ["arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000000"]
}

run "alarms" {
  command = apply

  assert {
    condition = alltrue([for name in [
      "leftfold/dead-letters/IamRoleQueue-dlq.fifo", "leftfold/queue-old/IamUserQueue.fifo", "leftfold/reader-behind/streamer",
      "leftfold/aggregate-parked/projector-role", "leftfold/writes-throttled/EventLog", "leftfold/service-errors/command-api",
    ] : contains(output.alarms, name)])
    error_message = "There is an alarm for each."
  }
  assert {
    condition = alltrue([
      for a in aws_cloudwatch_metric_alarm.this : length(a.alarm_actions) == 1 && can(regex("#[a-z-]+$", a.alarm_description))
    ])
    error_message = "Each alarm notifies a topic and links to its section."
  }
  assert {
    condition = contains(
      jsondecode(aws_cloudwatch_event_rule.this["key-deletion"].event_pattern).detail.requestParameters.keyId,
      "00000000-0000-0000-0000-000000000000",
    )
    error_message = "A request names a key by its ID, too."
  }
  assert {
    condition = output.deployment_alarms["projector-user"] == [
      "leftfold/aggregate-parked/projector-user", "leftfold/log-hole-seen-by/projector-user", "leftfold/queue-not-polled/projector-user",
      "leftfold/rows-unreadable/projector-user", "leftfold/service-errors/projector-user", "leftfold/slow-answers/projector-user",
    ] && alltrue([for names in output.deployment_alarms : length(names) > 0])
    error_message = "A release of each service is watched."
  }
  assert {
    condition = alltrue([
      for a in concat(values(aws_cloudwatch_metric_alarm.this), values(aws_cloudwatch_metric_alarm.expression)) :
      a.treat_missing_data != "breaching" if contains(flatten(values(output.deployment_alarms)), a.alarm_name)
    ])
    error_message = "An alarm that is on before a service first runs cannot tell a bad release."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.expression["no-healthy-targets/command-api"].treat_missing_data == "breaching"
    error_message = "Missing data of a target group raises the alarm."
  }
  assert {
    condition = alltrue([for name in ["reader-behind/streamer", "no-tasks/broker"] :
    aws_cloudwatch_metric_alarm.this[name].treat_missing_data == "breaching"])
    error_message = "Missing data of a reader raises the alarm."
  }
  assert {
    condition     = !can(aws_cloudwatch_event_rule.this["backup-failed"])
    error_message = "Without backups none can fail."
  }
  assert {
    condition     = length(jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets) == 14
    error_message = "All graphs exist."
  }
}

run "backups" {
  command = apply

  variables {
    backed_up = ["arn:aws:dynamodb:eu-central-1:123456789012:table/EventLog"]
  }

  assert {
    condition = (
      one(jsondecode(aws_cloudwatch_event_rule.this["backup-failed"].event_pattern).detail.resourceArn) == one(var.backed_up)
      && can(aws_cloudwatch_event_target.this["backup-failed"].arn)
    )
    error_message = "A copy that fails notifies."
  }
}

run "without_collectors" {
  command = apply

  variables {
    collector = false
  }

  assert {
    condition     = !anytrue([for a in aws_cloudwatch_metric_alarm.this : a.namespace == "Leftfold"])
    error_message = "There is no alarm on a metric that is not sent."
  }
}
