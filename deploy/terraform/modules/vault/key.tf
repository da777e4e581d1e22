# A table that AWS Backup manages in full is encrypted in a vault with the vault's key, not its own. The key of the vault that is copied
# must be open to the account that is copied to, whose service-linked role makes the copy:
# https://docs.aws.amazon.com/aws-backup/latest/devguide/encryption.html
resource "aws_kms_key" "this" {
  description             = "${var.prefix}leftfold: copies of the log"
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
      test     = "StringLike"
      variable = "kms:ViaService"
      values   = ["backup.*.amazonaws.com"] # either side's region
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
