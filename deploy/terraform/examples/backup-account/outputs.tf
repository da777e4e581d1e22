output "vault_arn" {
  description = "For backup_vault_arn of the production example."
  value       = module.vault.arn
}

output "role_arn" {
  description = "The role that copies back."
  value       = module.vault.role_arn
}
