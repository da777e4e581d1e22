output "name" {
  description = "The ECS service."
  value       = aws_ecs_service.this.name
}

output "task_role_arn" {
  description = "The role of the tasks."
  value       = aws_iam_role.task.arn
}

output "log_group" {
  description = "The log group."
  value       = aws_cloudwatch_log_group.this.name
}
