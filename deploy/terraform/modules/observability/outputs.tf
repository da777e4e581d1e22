output "topic_arn" {
  description = "Topic of the alarms; subscribe your paging service."
  value       = aws_sns_topic.alarms.arn
}

output "alarms" {
  description = "Names of all alarms."
  value = concat(
    [for a in aws_cloudwatch_metric_alarm.this : a.alarm_name],
    [for a in aws_cloudwatch_metric_alarm.errors : a.alarm_name],
  )
}

output "dashboard" {
  description = "Name of the dashboard."
  value       = aws_cloudwatch_dashboard.this.dashboard_name
}
