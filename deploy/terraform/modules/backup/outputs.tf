output "vault_arn" {
  description = "The vault that a copy comes back to."
  value       = module.vault.arn
}

output "role_arn" {
  description = "The role of AWS Backup, for a restore."
  value       = module.vault.role_arn
}

output "key_arn" {
  description = "The key of the vault."
  value       = module.vault.key_arn
}
