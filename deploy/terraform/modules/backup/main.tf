# A copy of the log every day in a vault of another account, where nobody of this one can delete it. Of the log alone, since everything
# else is made of it. An administrator has allowed both in AWS Backup's settings before (docs/operations.md), and examples/backup-account
# has made the other vault.
data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}
data "aws_region" "this" {}

module "vault" {
  source   = "../vault"
  prefix   = var.prefix
  role     = "leftfold-backup"
  partners = [var.vault_arn]
  rights   = local.rights

  key_users            = var.key_users
  permissions_boundary = var.permissions_boundary
}

resource "aws_backup_plan" "this" {
  name = "${var.prefix}leftfold"

  rule {
    rule_name         = "log"
    target_vault_name = module.vault.name
    schedule          = var.schedule

    lifecycle {
      delete_after = 7 # point in time recovery is nearer
    }
    copy_action {
      destination_vault_arn = var.vault_arn
      lifecycle {
        delete_after = var.keep_days
      }
    }
  }
}

resource "aws_backup_selection" "this" {
  name         = "log"
  plan_id      = aws_backup_plan.this.id
  iam_role_arn = module.vault.role_arn
  resources    = [var.log.arn]
}

# Beside what a copy takes: the rights that AWS's own policies for backup and restore have for DynamoDB, on the log, and on tables that are
# restored beside it (named after it) alone.
# https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AWSBackupServiceRolePolicyForBackup.html
locals {
  points = "arn:${data.aws_partition.this.partition}:backup:${data.aws_region.this.region}:${data.aws_caller_identity.this.account_id}"
  rights = {
    Log = {
      actions   = ["dynamodb:DescribeTable", "dynamodb:ListTagsOfResource", "dynamodb:StartAwsBackupJob"]
      resources = [var.log.arn]
    }
    Restore = {
      actions = [
        "dynamodb:BatchWriteItem", "dynamodb:DeleteItem", "dynamodb:DescribeTable", "dynamodb:GetItem", "dynamodb:PutItem",
        "dynamodb:Query", "dynamodb:RestoreTableFromAwsBackup", "dynamodb:Scan", "dynamodb:UpdateItem",
      ]
      resources = ["${var.log.arn}-*"]
    }
    KeyOfTheLog = { actions = ["kms:Decrypt", "kms:GenerateDataKey"], resources = [var.log.kms_key_arn] }
    Tags        = { actions = ["backup:TagResource"], resources = ["${local.points}:recovery-point:*"] }
  }
}
