# docs/operations.md has a section for every alarm; deploy/terraform/check compares.
locals {
  own        = "${var.prefix}Leftfold"
  readers    = { for s in ["streamer", "broker"] : s => { service = s } }
  projectors = { for s in ["projector-user", "projector-role"] : s => { service = s } }
  stream     = { (var.stream) = { StreamName = var.stream } }

  # By name: of what (one alarm each, so that it names the resource), which metric, and for how many minutes it is above or below.
  # missing = "breaching": missing data raises the alarm.
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
      statistic = "Sum", above = 5, minutes = 5
    }
    aggregate-parked = {
      of        = local.projectors, namespace = local.own, metric = "leftfold_projection_parked_total"
      statistic = "Sum", above = 0, minutes = 1
    }
    log-hole = {
      of        = { command-api = { service = "command-api" } }, namespace = local.own, metric = "leftfold_log_hole_total"
      statistic = "Sum", above = 0, minutes = 1
    }
    log-hole-seen-by = {
      of        = local.projectors, namespace = local.own, metric = "leftfold_projection_log_hole_total"
      statistic = "Sum", above = 0, minutes = 1
    }
    rows-unreadable = {
      of        = local.projectors, namespace = local.own, metric = "leftfold_projection_bad_rows_total"
      statistic = "Sum", above = 0, minutes = 1
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
      statistic = "Sum", above = 0, minutes = 1
    }
    route-refused = {
      of        = { broker = local.readers.broker }, namespace = local.own, metric = "leftfold_route_refused_total"
      statistic = "Sum", above = 0, minutes = 1
    }
    lease-unreadable = {
      of        = local.readers, namespace = local.own, metric = "leftfold_shards_unreadable_leases_total"
      statistic = "Sum", above = 0, minutes = 1
    }
    shards-not-polled = {
      of        = local.readers, namespace = local.own, metric = "leftfold_shards_poll_age_seconds"
      statistic = "Maximum", above = 60, minutes = 2
    }
    queue-not-polled = {
      of        = local.projectors, namespace = local.own, metric = "leftfold_fifoqueue_poll_age_seconds"
      statistic = "Maximum", above = 60, minutes = 2
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
      of        = { for t in var.tables : t => { TableName = t } }, namespace = "AWS/DynamoDB", metric = "ReadThrottleEvents"
      statistic = "Sum", above = 10, minutes = 5
    }
    writes-throttled = {
      of        = { for t in var.tables : t => { TableName = t } }, namespace = "AWS/DynamoDB", metric = "WriteThrottleEvents"
      statistic = "Sum", above = 10, minutes = 5
    }
    archive-late = {
      of        = { (var.firehose) = { DeliveryStreamName = var.firehose } }
      namespace = "AWS/Firehose", metric = "DeliveryToS3.DataFreshness"
      statistic = "Maximum", above = 1800, minutes = 5
    }
    no-tasks = {
      of        = { for s in var.services : s => { ClusterName = var.cluster, ServiceName = s } }
      namespace = "ECS/ContainerInsights", metric = "RunningTaskCount"
      statistic = "Minimum", below = 1, minutes = 3, missing = "breaching"
    }
    no-healthy-targets = {
      of        = { for s, g in var.targets : s => { LoadBalancer = var.load_balancer, TargetGroup = g } }
      namespace = "AWS/ApplicationELB", metric = "HealthyHostCount"
      statistic = "Minimum", below = 1, minutes = 2, missing = "breaching"
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
    for of, dimensions in a.of : "${name}/${of}" => merge(a, { name = name, dimensions = dimensions })
  }]...)
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.flat

  alarm_name          = "${var.prefix}leftfold/${each.key}"
  alarm_description   = "${var.manual}#${each.value.name}"
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  period              = 60
  evaluation_periods  = each.value.minutes
  comparison_operator = can(each.value.below) ? "LessThanThreshold" : "GreaterThanThreshold"
  threshold           = try(each.value.below, each.value.above)
  treat_missing_data  = try(each.value.missing, "notBreaching")
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

# More than one answer in a hundred is a 5xx.
resource "aws_cloudwatch_metric_alarm" "errors" {
  for_each = var.targets

  alarm_name          = "${var.prefix}leftfold/service-errors/${each.key}"
  alarm_description   = "${var.manual}#service-errors"
  evaluation_periods  = 5
  comparison_operator = "GreaterThanThreshold"
  threshold           = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]

  metric_query {
    id          = "percent"
    expression  = "IF(requests > 20, 100 * FILL(errors, 0) / requests, 0)"
    label       = "5xx in percent"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = { errors = "HTTPCode_Target_5XX_Count", requests = "RequestCount" }
    content {
      id = metric_query.key
      metric {
        namespace   = "AWS/ApplicationELB"
        metric_name = metric_query.value
        dimensions  = { LoadBalancer = var.load_balancer, TargetGroup = each.value }
        stat        = "Sum"
        period      = 60
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

# A release that was rolled back is an event, not a metric.
resource "aws_cloudwatch_event_rule" "deployment_failed" {
  name        = "${var.prefix}leftfold-deployment-failed"
  description = "${var.manual}#deployment-failed"
  event_pattern = jsonencode({
    source      = ["aws.ecs"]
    detail-type = ["ECS Deployment State Change"]
    detail      = { eventName = ["SERVICE_DEPLOYMENT_FAILED"] }
    resources   = [for s in var.services : { suffix = ":service/${var.cluster}/${s}" }]
  })
}

resource "aws_cloudwatch_event_target" "deployment_failed" {
  rule = aws_cloudwatch_event_rule.deployment_failed.name
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
