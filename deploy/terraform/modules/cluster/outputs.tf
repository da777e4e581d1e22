output "arn" {
  description = "The cluster."
  value       = aws_ecs_cluster.this.arn

  depends_on = [aws_ecs_cluster_capacity_providers.this] # services use one of them
}

output "name" {
  description = "The cluster's name."
  value       = aws_ecs_cluster.this.name
}
