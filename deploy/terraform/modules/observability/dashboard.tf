data "aws_region" "this" {}

locals {
  groups = concat([for s, groups in var.targets : [for i, group in groups : [
    "LoadBalancer", group.LoadBalancer, "TargetGroup", group.TargetGroup, { label = "${s}${i > 0 ? ", alternate" : ""}" },
  ]]]...)

  # Row by row: a title and its metrics, each in the form of CloudWatch's dashboards.
  graphs = concat(
    [
      {
        title   = "requests a minute", stat = "Sum"
        metrics = [for g in local.groups : concat(["AWS/ApplicationELB", "RequestCount"], g)]
      },
      {
        title   = "answers: 5xx", stat = "Sum"
        metrics = [for g in local.groups : concat(["AWS/ApplicationELB", "HTTPCode_Target_5XX_Count"], g)]
      },
      {
        title   = "answers: seconds, p99", stat = "p99"
        metrics = [for g in local.groups : concat(["AWS/ApplicationELB", "TargetResponseTime"], g)]
      },
    ],
    var.collector ? [
      {
        title   = "readers behind, seconds", stat = "Maximum"
        metrics = [for s in ["streamer", "broker"] : [local.own, "leftfold_shards_behind_seconds", "service", s, { label = s }]]
      },
      {
        title = "aggregates parked", stat = "Sum"
        metrics = [
          for s in keys(local.projectors) :
          [local.own, "leftfold_projection_parked_total", "service", s, { label = s }]
        ]
      },
    ] : [],
    [
      {
        title   = "Kinesis: age of what is read, ms", stat = "Maximum"
        metrics = [["AWS/Kinesis", "GetRecords.IteratorAgeMilliseconds", "StreamName", var.stream, { label = "oldest reader" }]]
      },
      {
        title   = "Kinesis: events a minute", stat = "Sum"
        metrics = [["AWS/Kinesis", "IncomingRecords", "StreamName", var.stream, { label = "in" }]]
      },
      {
        title   = "queues: oldest message, seconds", stat = "Maximum"
        metrics = [for q in var.queues : ["AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", q, { label = q }]]
      },
      {
        title   = "dead letters", stat = "Maximum"
        metrics = [for q in var.dead_letter_queues : ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", q, { label = q }]]
      },
      {
        title   = "tables: throttled writes", stat = "Sum"
        metrics = [for t in var.tables : ["AWS/DynamoDB", "WriteThrottleEvents", "TableName", t, { label = t }]]
      },
      {
        title   = "tables: throttled reads", stat = "Sum"
        metrics = [for t in var.tables : ["AWS/DynamoDB", "ReadThrottleEvents", "TableName", t, { label = t }]]
      },
      {
        title = "CPU, percent", stat = "Average"
        metrics = [
          for s, t in local.tasks :
          ["AWS/ECS", "CPUUtilization", "ClusterName", t.ClusterName, "ServiceName", t.ServiceName, { label = s }]
        ]
      },
      {
        title = "memory, percent", stat = "Maximum"
        metrics = [
          for s, t in local.tasks :
          ["AWS/ECS", "MemoryUtilization", "ClusterName", t.ClusterName, "ServiceName", t.ServiceName, { label = s }]
        ]
      },
      {
        title   = "archive: seconds late", stat = "Maximum"
        metrics = [["AWS/Firehose", "DeliveryToS3.DataFreshness", "DeliveryStreamName", var.firehose, { label = "oldest" }]]
      },
    ],
  )
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = "${var.prefix}leftfold"
  dashboard_body = jsonencode({
    widgets = [for i, g in local.graphs : {
      type   = "metric"
      x      = 8 * (i % 3)
      y      = 6 * floor(i / 3)
      width  = 8
      height = 6
      properties = {
        title   = g.title
        region  = data.aws_region.this.region
        view    = "timeSeries"
        stat    = g.stat
        period  = 60
        metrics = g.metrics
        yAxis   = { left = { min = 0 } }
      }
    }]
  })
}
