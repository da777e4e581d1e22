resource "aws_appautoscaling_target" "this" {
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${var.cluster.name}/${aws_ecs_service.this.name}"
  min_capacity       = var.scaling.min
  max_capacity       = var.scaling.max
}

locals {
  predefined = merge(
    { cpu = { type = "ECSServiceAverageCPUUtilization", label = null, target = var.scaling.cpu } },
    var.scaling.requests == null || var.target == null ? {} : {
      requests = { type = "ALBRequestCountPerTarget", label = try(var.target.resource_label, null), target = var.scaling.requests }
    },
  )
}

resource "aws_appautoscaling_policy" "predefined" {
  for_each = local.predefined

  name               = each.key
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.this.service_namespace
  scalable_dimension = aws_appautoscaling_target.this.scalable_dimension
  resource_id        = aws_appautoscaling_target.this.resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = each.value.target
    scale_in_cooldown  = 300
    scale_out_cooldown = 60
    predefined_metric_specification {
      predefined_metric_type = each.value.type
      resource_label         = each.value.label
    }
  }
}

resource "aws_appautoscaling_policy" "signal" {
  for_each = var.scaling.signals

  name               = each.key
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.this.service_namespace
  scalable_dimension = aws_appautoscaling_target.this.scalable_dimension
  resource_id        = aws_appautoscaling_target.this.resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = each.value.target
    scale_in_cooldown  = 300
    scale_out_cooldown = 60
    # https://docs.aws.amazon.com/autoscaling/application/userguide/application-auto-scaling-target-tracking-metric-math.html
    customized_metric_specification {
      dynamic "metrics" {
        for_each = each.value.metrics
        content {
          id          = metrics.key
          return_data = each.value.expression == null
          metric_stat {
            stat = metrics.value.statistic
            metric {
              namespace   = metrics.value.namespace
              metric_name = metrics.value.metric
              dynamic "dimensions" {
                for_each = metrics.value.dimensions
                content {
                  name  = dimensions.key
                  value = dimensions.value
                }
              }
            }
          }
        }
      }
      dynamic "metrics" {
        for_each = each.value.expression[*]
        content {
          id          = "signal"
          label       = each.key
          expression  = metrics.value
          return_data = true
        }
      }
    }
  }
}
