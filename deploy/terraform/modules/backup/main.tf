# A copy of the log every day in a vault of another account, where nobody of this one can delete it. Of the log alone, since everything
# else is made of it. An administrator has allowed both in AWS Backup's settings before (docs/operations.md), and examples/backup-account
# has made the vault. https://docs.aws.amazon.com/aws-backup/latest/devguide/create-cross-account-backup.html
data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}
data "aws_region" "this" {}

locals {
  account  = data.aws_caller_identity.this.account_id
  arn      = "arn:${data.aws_partition.this.partition}"
  there    = { region = split(":", var.vault_arn)[3], account = split(":", var.vault_arn)[4] }
  accounts = [local.account, local.there.account]
}

resource "aws_backup_vault" "this" {
  name        = "${var.prefix}leftfold"
  kms_key_arn = aws_kms_key.this.arn
}

# The way back: a copy is restored in the account that it has been copied to.
resource "aws_backup_vault_policy" "this" {
  backup_vault_name = aws_backup_vault.this.name
  policy            = data.aws_iam_policy_document.vault.json
}

data "aws_iam_policy_document" "vault" {
  statement {
    sid       = "CopyBack"
    actions   = ["backup:CopyIntoBackupVault"]
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = ["${local.arn}:iam::${local.there.account}:root"]
    }
  }
}

resource "aws_backup_plan" "this" {
  name = "${var.prefix}leftfold"

  rule {
    rule_name         = "log"
    target_vault_name = aws_backup_vault.this.name
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
  iam_role_arn = aws_iam_role.this.arn
  resources    = [var.log.arn]

  depends_on = [aws_iam_role_policy.this]
}

# A table that AWS Backup manages in full is encrypted in a vault with the vault's key, not its own. The key of the vault that is copied
# must be open to the account that is copied to: https://docs.aws.amazon.com/aws-backup/latest/devguide/encryption.html
resource "aws_kms_key" "this" {
  description             = "${var.prefix}leftfold: backups of the log"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = data.aws_iam_policy_document.key.json
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.prefix}leftfold-backup"
  target_key_id = aws_kms_key.this.key_id
}

# As of the keys of the data: administrators manage the key and cannot use it.
data "aws_iam_policy_document" "key" {
  statement {
    sid = "Administration"
    actions = [
      "kms:CancelKeyDeletion", "kms:CreateAlias", "kms:DeleteAlias", "kms:DescribeKey", "kms:DisableKey*", "kms:EnableKey*", "kms:Get*",
      "kms:List*", "kms:PutKeyPolicy", "kms:RevokeGrant", "kms:RotateKeyOnDemand", "kms:ScheduleKeyDeletion", "kms:TagResource",
      "kms:UntagResource", "kms:Update*",
    ]
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = ["${local.arn}:iam::${local.account}:root"]
    }
  }

  statement {
    sid = "UseThroughBackup"
    actions = [
      "kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey", "kms:CreateGrant", "kms:RetireGrant",
    ]
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = ["*"]
    }
    condition {
      test     = "StringEquals"
      variable = "kms:CallerAccount"
      values   = local.accounts
    }
    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values = distinct([for region in [data.aws_region.this.region, local.there.region] :
        "backup.${region}.amazonaws.com"
      ])
    }
    condition {
      test     = "ArnLike"
      variable = "aws:PrincipalArn"
      values = concat(
        [for account in local.accounts : "${local.arn}:iam::${account}:role/leftfold/*"],
        [for role in var.key_users : "${local.arn}:iam::${local.account}:role/${role}"],
      )
    }
  }

  statement {
    sid       = "ServiceOfBackup"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey*", "kms:DescribeKey", "kms:CreateGrant", "kms:RetireGrant"]
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = ["*"]
    }
    condition {
      test     = "StringEquals"
      variable = "kms:CallerAccount"
      values   = local.accounts
    }
    condition {
      test     = "ArnLike"
      variable = "aws:PrincipalArn"
      values = [for account in local.accounts :
        "${local.arn}:iam::${account}:role/aws-service-role/backup.amazonaws.com/AWSServiceRoleForBackup"
      ]
    }
  }
}
