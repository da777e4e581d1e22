# A vault of AWS Backup that copies come into from vaults of other accounts, and go back from; its key; and the role in whose name
# AWS Backup works in this account. Both sides of a copy have one: the system's account, and the account that keeps the copies.
# https://docs.aws.amazon.com/aws-backup/latest/devguide/create-cross-account-backup.html
data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}

locals {
  account  = data.aws_caller_identity.this.account_id
  arn      = "arn:${data.aws_partition.this.partition}"
  others   = distinct([for vault in var.partners : split(":", vault)[4]])
  accounts = concat([local.account], local.others)
}

resource "aws_backup_vault" "this" {
  name        = "${var.prefix}leftfold"
  kms_key_arn = aws_kms_key.this.arn
}

resource "aws_backup_vault_policy" "this" {
  backup_vault_name = aws_backup_vault.this.name
  policy            = data.aws_iam_policy_document.vault.json
}

# The others add copies. No statement lets them read, delete or change one, and AWS Backup refuses any other action of another account.
data "aws_iam_policy_document" "vault" {
  statement {
    sid       = "CopyHere"
    actions   = ["backup:CopyIntoBackupVault"]
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = [for account in local.others : "${local.arn}:iam::${account}:root"]
    }
  }
}
