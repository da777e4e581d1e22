# docs/operations.md has a section for every alarm; deploy/terraform/check compares.
locals {
  own        = "${var.prefix}Leftfold"
  readers    = { for s in ["streamer", "broker"] : s => { service = s } }
  consumers  = jsondecode(file("${path.module}/../consumers.json"))
  hearing    = { for s in keys(local.consumers) : s => { service = s } }
  projectors = { for s, c in local.consumers : s => { service = s } if c.read_model }
  processor  = { processor = { service = "processor" } }
  stream     = { (var.stream) = { StreamName = var.stream } }
  tasks      = { for s in var.services : s => { ClusterName = var.cluster, ServiceName = "${var.prefix}${s}" } }

  # A table's metric leaves out its indexes:
  # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html
  tables = merge(
    { for t in var.tables : t => { TableName = t } },
    { for i in var.indexes : "${i.table}/${i.index}" => { TableName = i.table, GlobalSecondaryIndexName = i.index } },
  )

  # By name: of what (one alarm each, so that it names the resource), which metric, and for how many minutes it is above or below.
  # missing = "breaching": missing data raises the alarm. rollback: it also rolls back the release of the service that it is of.
  # An alarm that missing data raises is on before a service first runs, so it cannot do that.
  all = {
    reader-behind = {
      of        = local.readers, namespace = local.own, metric = "leftfold_shards_behind_seconds"
      statistic = "Maximum", above = 60, minutes = 5, missing = "breaching"
    }
    reader-stuck = {
      of        = local.readers, namespace = local.own, metric = "leftfold_shards_checkpoint_age_seconds"
      statistic = "Maximum", above = 300, minutes = 5
    }
    records-trimmed = {
      of        = local.readers, namespace = local.own, metric = "leftfold_shards_trimmed_total"
      statistic = "Sum", above = 0, minutes = 1
    }
    source-replaced = {
      of        = local.readers, namespace = local.own, metric = "leftfold_shards_source_replaced_total"
      statistic = "Sum", above = 0, minutes = 1
    }
    source-missing = {
      of        = local.readers, namespace = local.own, metric = "leftfold_shards_list_failures_total"
      statistic = "Sum", above = 5, minutes = 5, rollback = true
    }
    aggregate-parked = {
      of        = local.hearing, namespace = local.own, metric = "leftfold_projection_parked_total"
      statistic = "Sum", above = 0, minutes = 1, rollback = true
    }
    process-parked = {
      of        = local.processor, namespace = local.own, metric = "leftfold_timers_parked"
      statistic = "Maximum", above = 0, minutes = 3, rollback = true
    }
    process-stuck = {
      of        = local.processor, namespace = local.own, metric = "leftfold_timers_stuck"
      statistic = "Maximum", above = 0, minutes = 5
    }
    process-denied = {
      of        = local.processor, namespace = local.own, metric = "leftfold_process_calls_denied_total"
      statistic = "Sum", above = 0, minutes = 1, rollback = true
    }
    unknown-event = {
      of        = { command-api = { service = "command-api" } }, namespace = local.own, metric = "leftfold_unknown_events_total"
      statistic = "Sum", above = 0, minutes = 1 # a roll-back would leave what is written already to builds that cannot read it
    }
    log-hole = {
      of        = { command-api = { service = "command-api" } }, namespace = local.own, metric = "leftfold_log_hole_total"
      statistic = "Sum", above = 0, minutes = 1, rollback = true
    }
    log-hole-seen-by = {
      of        = local.hearing, namespace = local.own, metric = "leftfold_projection_log_hole_total"
      statistic = "Sum", above = 0, minutes = 1, rollback = true
    }
    rows-unreadable = {
      of        = local.hearing, namespace = local.own, metric = "leftfold_projection_bad_rows_total"
      statistic = "Sum", above = 0, minutes = 1, rollback = true
    }
    rows-differ = {
      of        = local.projectors, namespace = local.own, metric = "leftfold_projection_audit_differences_total"
      statistic = "Sum", above = 0, minutes = 1
    }
    audit-late = {
      of        = local.projectors, namespace = local.own, metric = "leftfold_projection_audit_late"
      statistic = "Maximum", above = 0, minutes = 15
    }
    rebuild-due = {
      of        = local.projectors, namespace = local.own, metric = "leftfold_projection_rebuild_due"
      statistic = "Maximum", above = 0, minutes = 15
    }
    item-undecodable = {
      of        = { streamer = local.readers.streamer }, namespace = local.own, metric = "leftfold_publish_undecodable_total"
      statistic = "Sum", above = 0, minutes = 1
    }
    record-undecodable = {
      of        = { broker = local.readers.broker }, namespace = local.own, metric = "leftfold_route_undecodable_total"
      statistic = "Sum", above = 0, minutes = 1
    }
    publish-refused = {
      of        = { streamer = local.readers.streamer }, namespace = local.own, metric = "leftfold_publish_refused_total"
      statistic = "Sum", above = 0, minutes = 1, rollback = true
    }
    route-refused = {
      of        = { broker = local.readers.broker }, namespace = local.own, metric = "leftfold_route_refused_total"
      statistic = "Sum", above = 0, minutes = 1, rollback = true
    }
    lease-unreadable = {
      of        = local.readers, namespace = local.own, metric = "leftfold_shards_unreadable_leases_total"
      statistic = "Sum", above = 0, minutes = 1
    }
    shards-not-polled = {
      of        = local.readers, namespace = local.own, metric = "leftfold_shards_poll_age_seconds"
      statistic = "Maximum", above = 60, minutes = 2, rollback = true
    }
    queue-not-polled = {
      of        = local.hearing, namespace = local.own, metric = "leftfold_fifoqueue_poll_age_seconds"
      statistic = "Maximum", above = 60, minutes = 2, rollback = true
    }
    loop-hangs = {
      of        = { for s in var.services : s => { service = s } }, namespace = local.own, metric = "leftfold_loop_age_seconds"
      statistic = "Maximum", above = 600, minutes = 1
    }
    stream-behind = {
      of        = local.stream, namespace = "AWS/Kinesis", metric = "GetRecords.IteratorAgeMilliseconds"
      statistic = "Maximum", above = 600000, minutes = 5
    }
    stream-throttled = {
      of        = local.stream, namespace = "AWS/Kinesis", metric = "WriteProvisionedThroughputExceeded"
      statistic = "Sum", above = 0, minutes = 5
    }
    stream-reads-refused = { # the average is the share of the reads
      of        = local.stream, namespace = "AWS/Kinesis", metric = "ReadProvisionedThroughputExceeded"
      statistic = "Average", above = 0.2, minutes = 10
    }
    queue-old = {
      of        = { for q in var.queues : q => { QueueName = q } }, namespace = "AWS/SQS", metric = "ApproximateAgeOfOldestMessage"
      statistic = "Maximum", above = 300, minutes = 5
    }
    dead-letters = {
      of        = { for q in var.dead_letter_queues : q => { QueueName = q } }
      namespace = "AWS/SQS", metric = "ApproximateNumberOfMessagesVisible"
      statistic = "Maximum", above = 0, minutes = 1
    }
    reads-throttled = {
      of        = local.tables, namespace = "AWS/DynamoDB", metric = "ReadThrottleEvents"
      statistic = "Sum", above = 10, minutes = 5
    }
    writes-throttled = {
      of        = local.tables, namespace = "AWS/DynamoDB", metric = "WriteThrottleEvents"
      statistic = "Sum", above = 10, minutes = 5
    }
    archive-late = {
      of        = { (var.firehose) = { DeliveryStreamName = var.firehose } }
      namespace = "AWS/Firehose", metric = "DeliveryToS3.DataFreshness"
      statistic = "Maximum", above = 1800, minutes = 5
    }
    no-tasks = {
      of        = local.tasks, namespace = "ECS/ContainerInsights", metric = "RunningTaskCount"
      statistic = "Minimum", below = 1, minutes = 3, missing = "breaching"
    }
    memory-high = {
      of        = local.tasks, namespace = "AWS/ECS", metric = "MemoryUtilization"
      statistic = "Maximum", above = 85, minutes = 10
    }
    metrics-missing = {
      of        = { for s in var.services : s => { service = s } }, namespace = local.own, metric = "leftfold_loop_age_seconds"
      statistic = "SampleCount", below = 1, minutes = 10, missing = "breaching"
    }
    certificate-expires = {
      of        = { for arn in var.certificate_arn[*] : "edge" => { CertificateArn = arn } }
      namespace = "AWS/CertificateManager", metric = "DaysToExpiry" # once a day, and no more once it has expired
      statistic = "Minimum", below = 30, minutes = 1, period = 86400, missing = "ignore"
    }
    edge-errors = {
      of        = { edge = { LoadBalancer = var.load_balancer } }, namespace = "AWS/ApplicationELB", metric = "HTTPCode_ELB_5XX_Count"
      statistic = "Sum", above = 10, minutes = 5
    }
  }

  alarms = { for name, a in local.all : name => a
    if(var.collector || a.namespace != local.own) && (var.container_insights || a.namespace != "ECS/ContainerInsights")
  }

  flat = merge([for name, a in local.alarms : {
    for of, dimensions in a.of : "${name}/${of}" => merge(a, { name = name, of = of, dimensions = dimensions })
  }]...)

  # By service: of what the load balancer counts, the metrics of each of its target groups, their sum and the highest. A service's tasks
  # are in one of the two, and in both while a release moves traffic between them.
  targets = { for s, groups in var.targets : s => { for id, of in {
    healthy   = { metric = "HealthyHostCount", stat = "Minimum" }
    unhealthy = { metric = "UnHealthyHostCount", stat = "Maximum" }
    requests  = { metric = "RequestCount", stat = "Sum" }
    errors    = { metric = "HTTPCode_Target_5XX_Count", stat = "Sum" }
    seconds   = { metric = "TargetResponseTime", stat = "p90" }
    } : id => {
    metrics = { for i, group in groups : "${id}${i}" => {
      namespace = "AWS/ApplicationELB", metric = of.metric, dimensions = group, stat = of.stat
    } }
    sum     = "(${join(" + ", [for i, _ in groups : "FILL(${id}${i}, 0)"])})"
    highest = "MAX([${join(", ", [for i, _ in groups : "FILL(${id}${i}, 0)"])}])"
  } } }

  # Alarms on an expression of several metrics, which may be of more than one namespace.
  expressions = merge(
    { for s, t in local.targets : "no-healthy-targets/${s}" => {
      name       = "no-healthy-targets", of = s, rollback = false
      expression = t.healthy.sum, label = "tasks that are ready"
      below      = 1, periods = 2, datapoints = 2, period = 60, missing = "breaching"
      metrics    = t.healthy.metrics
    } },
    { for s, t in local.targets : "unhealthy-target/${s}" => {
      name       = "unhealthy-target", of = s, rollback = false
      expression = t.unhealthy.sum, label = "tasks that are not ready"
      above      = 0, periods = 15, datapoints = 15, period = 60
      metrics    = t.unhealthy.metrics
    } },
    { for s, t in local.targets : "slow-answers/${s}" => {
      name       = "slow-answers", of = s, rollback = true
      expression = t.seconds.highest, label = "seconds, p90"
      above      = 2, periods = 10, datapoints = 10, period = 60
      metrics    = t.seconds.metrics
    } },
    { for s, t in local.targets : "service-errors/${s}" => {
      name       = "service-errors", of = s, rollback = true
      expression = "IF(${t.requests.sum} > 20, 100 * ${t.errors.sum}, 0) / IF(${t.requests.sum} > 20, ${t.requests.sum}, 1)"
      label      = "5xx in percent"
      above      = 1, periods = 5, datapoints = 5, period = 60
      metrics    = merge(t.errors.metrics, t.requests.metrics)
    } },

    # Firehose sends no metric of what it cannot read. An event at a period's end may be read in the next, so one period is none.
    { "archive-not-read/${var.firehose}" = {
      name       = "archive-not-read", of = var.firehose, rollback = false
      expression = "IF(written > 0, IF(FILL(read, 0) > 0, 0, 1), 0)", label = "written, and not read"
      above      = 0, periods = 96, datapoints = 3, period = 900
      metrics = {
        written = { namespace = "AWS/Kinesis", metric = "IncomingRecords", dimensions = { StreamName = var.stream }, stat = "Sum" }
        read = {
          namespace  = "AWS/Firehose", metric = "DataReadFromKinesisStream.Records", stat = "Sum"
          dimensions = { DeliveryStreamName = var.firehose }
        }
      }
    } },

    # How old the state of a read model may be: what each hop is behind, together.
    { for q in var.collector ? var.queues : [] : "read-model-late/${q}" => {
      name       = "read-model-late", of = q, rollback = false
      expression = "FILL(streamer, 0) + FILL(broker, 0) + FILL(waiting, 0)", label = "seconds"
      above      = 60, periods = 10, datapoints = 10, period = 60
      metrics = merge({ for s, dimensions in local.readers : s => {
        namespace = local.own, metric = "leftfold_shards_behind_seconds", dimensions = dimensions, stat = "Maximum"
        } }, {
        waiting = { namespace = "AWS/SQS", metric = "ApproximateAgeOfOldestMessage", dimensions = { QueueName = q }, stat = "Maximum" }
      })
    } },
  )
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.flat

  alarm_name          = "${var.prefix}leftfold/${each.key}"
  alarm_description   = "${var.manual}#${each.value.name}"
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  period              = try(each.value.period, 60)
  evaluation_periods  = each.value.minutes
  comparison_operator = can(each.value.below) ? "LessThanThreshold" : "GreaterThanThreshold"
  threshold           = try(each.value.below, each.value.above)
  treat_missing_data  = try(each.value.missing, "notBreaching")
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

resource "aws_cloudwatch_metric_alarm" "expression" {
  for_each = local.expressions

  alarm_name          = "${var.prefix}leftfold/${each.key}"
  alarm_description   = "${var.manual}#${each.value.name}"
  evaluation_periods  = each.value.periods
  datapoints_to_alarm = each.value.datapoints
  comparison_operator = can(each.value.below) ? "LessThanThreshold" : "GreaterThanThreshold"
  threshold           = try(each.value.below, each.value.above)
  treat_missing_data  = try(each.value.missing, "notBreaching")
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]

  metric_query {
    id          = "result"
    expression  = each.value.expression
    label       = each.value.label
    return_data = true
  }

  dynamic "metric_query" {
    for_each = each.value.metrics
    content {
      id = metric_query.key
      metric {
        namespace   = metric_query.value.namespace
        metric_name = metric_query.value.metric
        dimensions  = metric_query.value.dimensions
        stat        = metric_query.value.stat
        period      = each.value.period
      }
    }
  }
}

resource "aws_sns_topic" "alarms" {
  name = "${var.prefix}leftfold-alarms"
}

resource "aws_sns_topic_subscription" "email" {
  for_each = var.emails

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.key
}

# What is an event, not a metric.
locals {
  events = merge({ for alarm, event in local.backups : alarm => event if length(var.backed_up) > 0 }, {
    deployment-failed = {
      source      = ["aws.ecs"]
      detail-type = ["ECS Deployment State Change"]
      detail      = { eventName = ["SERVICE_DEPLOYMENT_FAILED"] }
      resources   = [for t in local.tasks : { suffix = ":service/${t.ClusterName}/${t.ServiceName}" }]
    }
    # These come by CloudTrail, so the account needs a trail: https://docs.aws.amazon.com/eventbridge/latest/ref/events-ref-kms.html
    key-deletion = {
      source      = ["aws.kms"]
      detail-type = ["AWS API Call via CloudTrail"]
      detail = {
        eventSource       = ["kms.amazonaws.com"]
        eventName         = ["ScheduleKeyDeletion", "DisableKey", "PutKeyPolicy"]
        requestParameters = { keyId = flatten([for arn in var.key_arns : [arn, regex("[^/]+$", arn)]]) }
      }
    }
  })
  # https://docs.aws.amazon.com/aws-backup/latest/devguide/eventbridge.html
  backups = {
    backup-failed = {
      source      = ["aws.backup"]
      detail-type = ["Backup Job State Change", "Copy Job State Change"]
      detail      = { state = ["FAILED", "ABORTED", "EXPIRED"], resourceArn = var.backed_up }
    }
  }
}

resource "aws_cloudwatch_event_rule" "this" {
  for_each = local.events

  name          = "${var.prefix}leftfold-${each.key}"
  description   = "${var.manual}#${each.key}"
  event_pattern = jsonencode(each.value)
}

resource "aws_cloudwatch_event_target" "this" {
  for_each = aws_cloudwatch_event_rule.this

  rule = each.value.name
  arn  = aws_sns_topic.alarms.arn
}

data "aws_caller_identity" "this" {}

data "aws_iam_policy_document" "alarms" {
  statement {
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.alarms.arn]
    principals {
      type        = "Service"
      identifiers = ["cloudwatch.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.this.account_id]
    }
  }
  # As AWS documents it, without a condition: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html
  statement {
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.alarms.arn]
    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }
  }
}

resource "aws_sns_topic_policy" "alarms" {
  arn    = aws_sns_topic.alarms.arn
  policy = data.aws_iam_policy_document.alarms.json
}
