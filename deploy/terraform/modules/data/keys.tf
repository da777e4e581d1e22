data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}
data "aws_region" "this" {}

locals {
  account   = data.aws_caller_identity.this.account_id
  partition = data.aws_partition.this.partition
  region    = data.aws_region.this.region

  # The archive has a key of its own: whoever loses or deletes one key still has the log, or its copy.
  keys = {
    data    = { alias = "leftfold", holds = "tables, stream, queues and logs", services = ["dynamodb", "kinesis", "sqs"] }
    archive = { alias = "leftfold-archive", holds = "the archive", services = ["s3"] }
  }
}

resource "aws_kms_key" "this" {
  for_each = local.keys

  description             = "${var.prefix}leftfold: ${each.value.holds}"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = data.aws_iam_policy_document.key[each.key].json
}

moved {
  from = aws_kms_key.data
  to   = aws_kms_key.this["data"]
}

resource "aws_kms_alias" "this" {
  for_each = local.keys

  name          = "alias/${var.prefix}${each.value.alias}"
  target_key_id = aws_kms_key.this[each.key].key_id
}

moved {
  from = aws_kms_alias.data
  to   = aws_kms_alias.this["data"]
}

# Administrators manage the keys and cannot use them, whatever IAM allows them: they would have to change a policy here, which notifies
# (key-deletion). The system's roles, and those in key_users, use a key through the services that hold the data, and need the right to that
# data besides.
data "aws_iam_policy_document" "key" {
  for_each = local.keys

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
      identifiers = ["arn:${local.partition}:iam::${local.account}:root"]
    }
  }

  statement {
    sid       = "UseThroughServices"
    actions   = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey", "kms:CreateGrant"]
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = ["*"]
    }
    condition {
      test     = "StringEquals"
      variable = "kms:CallerAccount"
      values   = [local.account]
    }
    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = [for s in each.value.services : "${s}.${local.region}.amazonaws.com"]
    }
    condition {
      test     = "ArnLike"
      variable = "aws:PrincipalArn"
      values = [for role in concat(["leftfold/*"], tolist(var.key_users)) :
        "arn:${local.partition}:iam::${local.account}:role/${role}"
      ]
    }
  }

  # https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html
  dynamic "statement" {
    for_each = each.key == "data" ? [1] : []
    content {
      sid       = "Logs"
      actions   = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
      resources = ["*"]
      principals {
        type        = "Service"
        identifiers = ["logs.${local.region}.amazonaws.com"]
      }
      condition {
        test     = "ArnLike"
        variable = "kms:EncryptionContext:aws:logs:arn"
        values   = ["arn:${local.partition}:logs:${local.region}:${local.account}:log-group:/leftfold/*"]
      }
    }
  }
}
