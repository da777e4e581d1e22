output "state_bucket" {
  description = "For terraform init -backend-config=\"bucket=…\" (the repository's variable STATE_BUCKET)."
  value       = aws_s3_bucket.state.bucket
}

output "registry" {
  description = "Registry of the images (ECR_REGISTRY)."
  value       = split("/", aws_ecr_repository.this["streamer"].repository_url)[0]
}

output "roles" {
  description = "Roles of the workflows (PUSH_ROLE_ARN, PLAN_ROLE_ARN, DEPLOY_ROLE_ARN)."
  value       = { for name, role in aws_iam_role.this : name => role.arn }
}

output "permissions_boundary" {
  description = "The most that a role of the system can do, for permissions_boundary in production."
  value       = aws_iam_policy.boundary.arn
}
