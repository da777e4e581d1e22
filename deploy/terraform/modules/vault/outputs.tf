output "name" {
  description = "Name of the vault."
  value       = aws_backup_vault.this.name
}

output "arn" {
  description = "The vault."
  value       = aws_backup_vault.this.arn
}

output "role_arn" {
  description = "The role of AWS Backup, once it has its rights."
  value       = aws_iam_role.this.arn
  depends_on  = [aws_iam_role_policy.this]
}

output "key_arn" {
  description = "The key of the vault."
  value       = aws_kms_key.this.arn
}
