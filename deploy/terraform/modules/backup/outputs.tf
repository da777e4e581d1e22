output "vault_arn" {
  description = "The vault that a copy comes back to."
  value       = aws_backup_vault.this.arn
}

output "role_arn" {
  description = "The role of AWS Backup, for a restore."
  value       = aws_iam_role.this.arn
}

output "key_arn" {
  description = "The key of the vault."
  value       = aws_kms_key.this.arn
}
