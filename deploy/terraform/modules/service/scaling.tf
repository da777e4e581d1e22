resource "aws_appautoscaling_target" "this" {
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${var.cluster.name}/${aws_ecs_service.this.name}"
  min_capacity       = var.scaling.min
  max_capacity       = var.scaling.max
}

resource "aws_appautoscaling_policy" "cpu" {
  name               = "cpu"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.this.service_namespace
  scalable_dimension = aws_appautoscaling_target.this.scalable_dimension
  resource_id        = aws_appautoscaling_target.this.resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = var.scaling.cpu
    scale_in_cooldown  = 300
    scale_out_cooldown = 60
    predefined_metric_specification {
      predefined_metric_type = "ECSServiceAverageCPUUtilization"
    }
  }
}

locals {
  # ALBRequestCountPerTarget knows one target group, and traffic moves between two, in shares that make up the whole:
  # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-autoscaling-targettracking.html
  requests = [for group in var.target == null ? [] : var.target.metrics : {
    namespace = "AWS/ApplicationELB", metric = "RequestCountPerTarget", dimensions = group, statistic = "Sum"
  } if var.scaling.requests != null]

  signals = merge(var.scaling.signals, length(local.requests) == 0 ? {} : { requests = {
    target     = var.scaling.requests
    expression = join(" + ", [for i, _ in local.requests : "FILL(group${i}, 0)"])
    metrics    = { for i, metric in local.requests : "group${i}" => metric }
  } })
}

resource "aws_appautoscaling_policy" "signal" {
  for_each = local.signals

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
