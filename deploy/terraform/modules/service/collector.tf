# A collector beside the service: it scrapes /metrics each minute and sends the metrics that alarms and autoscaling use. The
# others would cost money in CloudWatch, and are for a Prometheus (admin_cidrs). Its configuration is the
# OpenTelemetry collector's: https://aws-otel.github.io/docs/components/prometheus-receiver
locals {
  collected = [
    "leftfold_fifoqueue_poll_age_seconds",
    "leftfold_fifoqueue_rejected_total",
    "leftfold_log_hole_total",
    "leftfold_loop_age_seconds",
    "leftfold_process_calls_denied_total",
    "leftfold_projection_audit_differences_total",
    "leftfold_projection_audit_late",
    "leftfold_projection_bad_rows_total",
    "leftfold_projection_log_hole_total",
    "leftfold_projection_parked_total",
    "leftfold_projection_rebuild_due",
    "leftfold_publish_refused_total",
    "leftfold_publish_undecodable_total",
    "leftfold_route_refused_total",
    "leftfold_route_undecodable_total",
    "leftfold_shards_behind_seconds",
    "leftfold_shards_checkpoint_age_seconds",
    "leftfold_shards_list_failures_total",
    "leftfold_shards_poll_age_seconds",
    "leftfold_shards_source_replaced_total",
    "leftfold_shards_trimmed_total",
    "leftfold_shards_unreadable_leases_total",
    "leftfold_timers_parked",
    "leftfold_timers_stuck",
    "leftfold_unknown_events_total",
  ]

  collector_memory = 192 # MiB of the task's

  tracing = var.collector_image != null && var.trace_ratio > 0

  collector = [for image in var.collector_image[*] : {
    name                   = "collector"
    image                  = image
    essential              = false # the service continues without it
    restartPolicy          = { enabled = true, restartAttemptPeriod = 60 }
    memory                 = local.collector_memory
    readonlyRootFilesystem = true
    environment            = [{ name = "AOT_CONFIG_CONTENT", value = yamlencode(local.collector_config) }]
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.this.name
        awslogs-region        = local.region
        awslogs-stream-prefix = "collector"
        mode                  = "non-blocking"
        max-buffer-size       = "4m"
      }
    }
  }]

  collector_config = {
    receivers = merge({
      prometheus = { config = { scrape_configs = [{
        job_name        = var.name
        scrape_interval = "60s"
        static_configs  = [{ targets = ["127.0.0.1:9090"] }]
        metric_relabel_configs = [
          { source_labels = ["__name__"], regex = join("|", local.collected), action = "keep" },
        ]
      }] } }
    }, local.tracing ? { otlp = { protocols = { http = { endpoint = "127.0.0.1:4318" } } } } : {})

    processors = { batch = {} }

    exporters = merge({
      awsemf = {
        region                               = local.region
        namespace                            = "${var.prefix}Leftfold"
        log_group_name                       = one(aws_cloudwatch_log_group.metrics[*].name)
        log_stream_name                      = "collector" # {TaskId} needs an attribute that this receiver does not set
        dimension_rollup_option              = "NoDimensionRollup"
        retain_initial_value_of_delta_metric = true # a counter's first value counts
        resource_to_telemetry_conversion     = { enabled = false }
        metric_declarations = [
          { dimensions = [["service"]], metric_name_selectors = ["^leftfold_.*"] },
        ]
      }
    }, local.tracing ? { awsxray = { region = local.region } } : {})

    service = {
      pipelines = merge(
        { metrics = { receivers = ["prometheus"], processors = ["batch"], exporters = ["awsemf"] } },
        local.tracing ? { traces = { receivers = ["otlp"], processors = ["batch"], exporters = ["awsxray"] } } : {},
      )
    }
  }
}

resource "aws_cloudwatch_log_group" "metrics" {
  count = var.collector_image == null ? 0 : 1

  name              = "/leftfold/${local.name}/metrics"
  retention_in_days = 7
  kms_key_id        = var.kms_key_arn
}
