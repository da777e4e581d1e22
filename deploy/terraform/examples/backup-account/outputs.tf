output "vault_arn" {
  description = "For backup_vault_arn of the production example."
  value       = aws_backup_vault.this.arn
}

output "role_arn" {
  description = "The role that copies back."
  value       = aws_iam_role.this.arn
}
