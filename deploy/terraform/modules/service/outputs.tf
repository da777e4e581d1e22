output "name" {
  description = "The ECS service."
  value       = aws_ecs_service.this.name
}

output "release" {
  description = "The task definition that the service runs, once it is steady with it; for after of those that follow."
  value       = aws_ecs_service.this.task_definition
}

output "task_role_arn" {
  description = "The role of the tasks."
  value       = aws_iam_role.task.arn
}

output "log_group" {
  description = "The log group."
  value       = aws_cloudwatch_log_group.this.name
}
