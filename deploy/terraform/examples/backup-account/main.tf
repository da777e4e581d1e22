# What an account needs that keeps copies of another one's log: a vault and a key of its own, out of reach for the account that is backed
# up. Applied by an administrator of this account, who keeps the state.
module "vault" {
  source    = "../../modules/vault"
  role      = "leftfold-return" # it copies back
  partners  = [for account in var.source_accounts : "arn:aws:backup:*:${account}:backup-vault:*leftfold"]
  key_users = var.administrators
}

# Off by default, as the lock of the archive: what is locked cannot be erased. In governance mode, which an administrator of this account
# can end: https://docs.aws.amazon.com/aws-backup/latest/devguide/vault-lock.html
resource "aws_backup_vault_lock_configuration" "this" {
  count = var.lock_days == null ? 0 : 1

  backup_vault_name  = module.vault.name
  min_retention_days = var.lock_days
}
