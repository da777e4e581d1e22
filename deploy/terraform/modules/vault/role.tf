# AWS Backup copies between this vault and those of the others, and nowhere else.
resource "aws_iam_role" "this" {
  name                 = "${var.prefix}${var.role}"
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
  dynamic "statement" {
    for_each = var.rights
    content {
      sid       = statement.key
      actions   = statement.value.actions
      resources = statement.value.resources
    }
  }
  statement {
    sid       = "Vaults"
    actions   = ["backup:CopyIntoBackupVault", "backup:DescribeBackupVault"]
    resources = concat([aws_backup_vault.this.arn], var.partners)
  }
  statement {
    sid       = "Copy"
    actions   = ["backup:CopyFromBackupVault"]
    resources = ["*"] # of a recovery point, whose name AWS chooses
    condition {
      test     = "ForAllValues:ArnLike"
      variable = "backup:CopyTargets"
      values   = var.partners
    }
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
