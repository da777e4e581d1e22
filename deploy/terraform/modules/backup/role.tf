# The role of AWS Backup. Its rights are those that AWS's own policies for backup and restore have for DynamoDB, on the log, on tables that
# are restored beside it (named after it), and on the two vaults alone:
# https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AWSBackupServiceRolePolicyForBackup.html
resource "aws_iam_role" "this" {
  name                 = "${var.prefix}leftfold-backup"
  path                 = "/leftfold/"
  permissions_boundary = var.permissions_boundary
  assume_role_policy   = data.aws_iam_policy_document.trust.json
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
  name   = "backup"
  role   = aws_iam_role.this.id
  policy = data.aws_iam_policy_document.this.json
}

data "aws_iam_policy_document" "this" {
  statement {
    sid       = "Log"
    actions   = ["dynamodb:DescribeTable", "dynamodb:ListTagsOfResource", "dynamodb:StartAwsBackupJob"]
    resources = [var.log.arn]
  }
  statement {
    sid       = "Vaults"
    actions   = ["backup:CopyIntoBackupVault", "backup:DescribeBackupVault"]
    resources = [aws_backup_vault.this.arn, var.vault_arn]
  }
  statement {
    sid       = "Copy"
    actions   = ["backup:CopyFromBackupVault"]
    resources = ["*"] # of a recovery point, whose name AWS chooses
    condition {
      test     = "ForAllValues:ArnEquals"
      variable = "backup:CopyTargets"
      values   = [var.vault_arn]
    }
  }
  statement {
    sid       = "Tags"
    actions   = ["backup:TagResource"]
    resources = ["${local.arn}:backup:${data.aws_region.this.region}:${local.account}:recovery-point:*"]
  }
  statement {
    sid = "Restore"
    actions = [
      "dynamodb:BatchWriteItem", "dynamodb:DeleteItem", "dynamodb:DescribeTable", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query",
      "dynamodb:RestoreTableFromAwsBackup", "dynamodb:Scan", "dynamodb:UpdateItem",
    ]
    resources = ["${var.log.arn}-*"]
  }
  statement {
    sid       = "KeyOfTheLog"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [var.log.kms_key_arn]
  }
  statement {
    sid       = "Keys"
    actions   = ["kms:DescribeKey"]
    resources = [for account in local.accounts : "${local.arn}:kms:*:${account}:key/*"]
  }
  statement {
    sid       = "Grants"
    actions   = ["kms:CreateGrant"]
    resources = [for account in local.accounts : "${local.arn}:kms:*:${account}:key/*"]
    condition {
      test     = "Bool"
      variable = "kms:GrantIsForAWSResource"
      values   = ["true"]
    }
  }
}
