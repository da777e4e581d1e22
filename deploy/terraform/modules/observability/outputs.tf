output "topic_arn" {
  description = "Topic of the alarms; subscribe your paging service."
  value       = aws_sns_topic.alarms.arn
}

output "alarms" {
  description = "Names of all alarms."
  value = concat(
    [for a in aws_cloudwatch_metric_alarm.this : a.alarm_name],
    [for a in aws_cloudwatch_metric_alarm.expression : a.alarm_name],
  )
}

output "deployment_alarms" {
  description = "By service: names of the alarms that tell a bad release."
  value = { for s in var.services : s => concat(
    [for key, a in local.flat : aws_cloudwatch_metric_alarm.this[key].alarm_name if a.of == s && try(a.rollback, false)],
    [for key, a in local.expressions : aws_cloudwatch_metric_alarm.expression[key].alarm_name if a.of == s && a.rollback],
  ) }
}

output "dashboard" {
  description = "Name of the dashboard."
  value       = aws_cloudwatch_dashboard.this.dashboard_name
}
