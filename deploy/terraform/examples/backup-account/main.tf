# What an account needs that keeps copies of another one's log: a vault, and a key of its own, both out of reach for the account that is
# backed up. Applied by an administrator of this account, whose state stays here.
# https://docs.aws.amazon.com/aws-backup/latest/devguide/create-cross-account-backup.html
data "aws_caller_identity" "this" {}

locals {
  account  = data.aws_caller_identity.this.account_id
  accounts = concat([local.account], tolist(var.source_accounts))
  service  = "role/aws-service-role/backup.amazonaws.com/AWSServiceRoleForBackup"
}

resource "aws_backup_vault" "this" {
  name        = "leftfold"
  kms_key_arn = aws_kms_key.this.arn
}

resource "aws_backup_vault_policy" "this" {
  backup_vault_name = aws_backup_vault.this.name
  policy            = data.aws_iam_policy_document.vault.json
}

# They may add copies. No statement lets another account read, delete or change one.
data "aws_iam_policy_document" "vault" {
  statement {
    sid       = "CopyHere"
    actions   = ["backup:CopyIntoBackupVault"]
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = [for account in var.source_accounts : "arn:aws:iam::${account}:root"]
    }
  }
}

# Off by default, as the lock of the archive: what is locked cannot be erased. In governance mode, which an administrator of this account
# can end: https://docs.aws.amazon.com/aws-backup/latest/devguide/vault-lock.html
resource "aws_backup_vault_lock_configuration" "this" {
  count = var.lock_days == null ? 0 : 1

  backup_vault_name  = aws_backup_vault.this.name
  min_retention_days = var.lock_days
}

resource "aws_kms_key" "this" {
  description             = "leftfold: copies of logs"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = data.aws_iam_policy_document.key.json
}

resource "aws_kms_alias" "this" {
  name          = "alias/leftfold-backup"
  target_key_id = aws_kms_key.this.key_id
}

# Administration by this account's IAM; use by AWS Backup alone, also in the name of the accounts that copies come from and go back to.
data "aws_iam_policy_document" "key" {
  statement {
    sid       = "Administration"
    actions   = ["kms:*"]
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = ["arn:aws:iam::${local.account}:root"]
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
      test     = "StringLike"
      variable = "kms:ViaService"
      values   = ["backup.*.amazonaws.com"]
    }
    condition {
      test     = "ArnLike"
      variable = "aws:PrincipalArn"
      values   = [for account in local.accounts : "arn:aws:iam::${account}:role/leftfold/*"]
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
      values   = [for account in local.accounts : "arn:aws:iam::${account}:${local.service}"]
    }
  }
}

# For the way back: AWS Backup copies from this vault into one of those accounts, and nowhere else.
resource "aws_iam_role" "this" {
  name               = "leftfold-return"
  path               = "/leftfold/"
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["backup.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

resource "aws_iam_role_policy" "this" {
  name   = "return"
  role   = aws_iam_role.this.id
  policy = data.aws_iam_policy_document.this.json
}

data "aws_iam_policy_document" "this" {
  statement {
    sid       = "Copy"
    actions   = ["backup:CopyFromBackupVault"]
    resources = ["*"] # of a recovery point, whose name AWS chooses
    condition {
      test     = "ForAllValues:ArnLike"
      variable = "backup:CopyTargets"
      values   = local.vaults
    }
  }
  statement {
    sid       = "Vaults"
    actions   = ["backup:CopyIntoBackupVault", "backup:DescribeBackupVault"]
    resources = concat([aws_backup_vault.this.arn], local.vaults)
  }
  statement {
    sid       = "Keys"
    actions   = ["kms:DescribeKey"]
    resources = [for account in local.accounts : "arn:aws:kms:*:${account}:key/*"]
  }
  statement {
    sid       = "Grants"
    actions   = ["kms:CreateGrant"]
    resources = [for account in local.accounts : "arn:aws:kms:*:${account}:key/*"]
    condition {
      test     = "Bool"
      variable = "kms:GrantIsForAWSResource"
      values   = ["true"]
    }
  }
}

locals {
  vaults = [for account in var.source_accounts : "arn:aws:backup:*:${account}:backup-vault:*leftfold"]
}
