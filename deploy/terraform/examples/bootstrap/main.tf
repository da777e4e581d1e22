# What must exist before the first release, applied once, by hand, with local state: a bucket for the state of everything else,
# repositories for images, and roles for GitHub's workflows, which need no stored keys.
data "aws_caller_identity" "this" {}

locals {
  consumers = jsondecode(file("${path.module}/../../modules/consumers.json")) # by service
  images    = concat(["command-api", "streamer", "broker", "console", "leftfold", "collector"], keys(local.consumers))
}

resource "aws_s3_bucket" "state" {
  bucket = "leftfold-state-${data.aws_caller_identity.this.account_id}-${var.region}"
}

resource "aws_s3_bucket_versioning" "state" {
  bucket = aws_s3_bucket.state.id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "state" {
  bucket = aws_s3_bucket.state.id
  rule {
    bucket_key_enabled = true
    apply_server_side_encryption_by_default {
      sse_algorithm = "aws:kms"
    }
  }
}

resource "aws_s3_bucket_public_access_block" "state" {
  bucket                  = aws_s3_bucket.state.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_ecr_repository" "this" {
  for_each = toset(local.images)

  name                 = "leftfold/${each.key}"
  image_tag_mutability = "IMMUTABLE" # a roll-back runs the same image

  image_scanning_configuration {
    scan_on_push = true
  }
}

resource "aws_ecr_lifecycle_policy" "this" {
  for_each = aws_ecr_repository.this

  repository = each.value.name
  policy = jsonencode({ rules = [{
    rulePriority = 1
    description  = "the last 100 releases"
    selection    = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = 700 }
    action       = { type = "expire" }
  }] })
}

resource "aws_iam_openid_connect_provider" "github" {
  count = var.github_repository == null ? 0 : 1

  url            = "https://token.actions.githubusercontent.com"
  client_id_list = ["sts.amazonaws.com"]
}

# push and plan: jobs of the environment release, which only protected tags may use. deploy: jobs of the environment production, whose
# reviewers have approved the plan. GitHub's settings say so of both (docs/operations.md).
data "aws_iam_policy_document" "trust" {
  for_each = var.github_repository == null ? {} : { push = "release", plan = "release", deploy = "production" }

  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]
    principals {
      type        = "Federated"
      identifiers = [aws_iam_openid_connect_provider.github[0].arn]
    }
    condition {
      test     = "StringEquals"
      variable = "token.actions.githubusercontent.com:aud"
      values   = ["sts.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "token.actions.githubusercontent.com:sub"
      values   = ["repo:${var.github_repository}:environment:${each.value}"]
    }
  }
}

resource "aws_iam_role" "this" {
  for_each = data.aws_iam_policy_document.trust

  name                 = "leftfold-${each.key}"
  assume_role_policy   = each.value.json
  max_session_duration = each.key == "deploy" ? 7200 : 3600
}

data "aws_iam_policy_document" "push" {
  statement {
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"] # it has no narrower resources
  }
  statement {
    actions = [
      "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:CompleteLayerUpload", "ecr:GetDownloadUrlForLayer",
      "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart",
    ]
    resources = [for r in aws_ecr_repository.this : r.arn]
  }
}

# Terraform reads settings, never data. All data is read by other rights than settings are.
data "aws_iam_policy_document" "plan" {
  statement {
    sid       = "NoData"
    effect    = "Deny"
    actions   = local.data_rights
    resources = ["*"]
  }
  statement {
    sid           = "NoObjects"
    effect        = "Deny"
    actions       = ["s3:GetObject*"]
    not_resources = ["${aws_s3_bucket.state.arn}/*"]
  }
  statement {
    sid       = "StateLockAndPlans"
    actions   = ["s3:PutObject", "s3:DeleteObject"]
    resources = ["${aws_s3_bucket.state.arn}/leftfold/*.tflock", "${aws_s3_bucket.state.arn}/plans/*"]
  }
}

locals {
  data_rights = [
    "dynamodb:BatchGetItem", "dynamodb:ExportTableToPointInTime", "dynamodb:GetItem", "dynamodb:GetRecords", "dynamodb:PartiQL*",
    "dynamodb:Query", "dynamodb:Scan", "kinesis:GetRecords", "kinesis:SubscribeToShard", "logs:FilterLogEvents", "logs:GetLogEvents",
    "logs:StartQuery", "secretsmanager:GetSecretValue", "sqs:ReceiveMessage", "ssm:GetParameter*",
  ]
}

# Everything but people and other roles: it makes roles under /leftfold/ only, which can do no more than the boundary, passes them to
# ECS, Firehose and AWS Backup only, reads no data, and deletes neither data nor keys: an administrator does that.
data "aws_iam_policy_document" "deploy" {
  statement {
    sid       = "NoData"
    effect    = "Deny"
    actions   = local.data_rights
    resources = ["*"]
  }
  statement {
    sid    = "NoEnd"
    effect = "Deny"
    actions = [
      "backup:DeleteBackupVault", "backup:DeleteRecoveryPoint", "backup:UpdateRecoveryPointLifecycle", "dynamodb:DeleteBackup",
      "dynamodb:DeleteTable", "kinesis:DeleteStream", "kms:DisableKey", "kms:ScheduleKeyDeletion",
      "s3:BypassGovernanceRetention", "s3:DeleteBucket", "s3:DeleteObjectVersion", "sqs:DeleteQueue", "sqs:PurgeQueue",
    ]
    resources = ["*"]
  }
  statement {
    sid       = "Policies" # each grants nothing until an administrator attaches it
    actions   = ["iam:CreatePolicy", "iam:CreatePolicyVersion", "iam:DeletePolicy", "iam:DeletePolicyVersion", "iam:TagPolicy"]
    resources = ["arn:aws:iam::${data.aws_caller_identity.this.account_id}:policy/leftfold/*"]
  }
  statement {
    sid = "See"
    actions = [
      "iam:GetPolicy*", "iam:GetRole", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies", "iam:ListInstanceProfilesForRole",
      "iam:ListPolicyVersions", "iam:ListRolePolicies",
    ]
    resources = ["*"]
  }
  statement {
    sid       = "Roles"
    actions   = ["iam:CreateRole", "iam:DeleteRolePolicy", "iam:PutRolePolicy"]
    resources = [local.roles]
    condition {
      test     = "StringEquals"
      variable = "iam:PermissionsBoundary"
      values   = [aws_iam_policy.boundary.arn]
    }
  }
  statement {
    sid       = "RolesWithoutRights"
    actions   = ["iam:DeleteRole", "iam:TagRole", "iam:UntagRole", "iam:UpdateAssumeRolePolicy", "iam:UpdateRole"]
    resources = [local.roles]
  }
  statement {
    sid       = "Pass"
    actions   = ["iam:PassRole"]
    resources = [local.roles]
    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["backup.amazonaws.com", "ecs.amazonaws.com", "ecs-tasks.amazonaws.com", "firehose.amazonaws.com"]
    }
  }
  statement {
    sid       = "RolesOfServices" # AWS makes them itself, with its own rights
    actions   = ["iam:CreateServiceLinkedRole"]
    resources = ["arn:aws:iam::${data.aws_caller_identity.this.account_id}:role/aws-service-role/*"]
  }
}

locals {
  roles = "arn:aws:iam::${data.aws_caller_identity.this.account_id}:role/leftfold/*"
}

# The most that a role of the system can do.
data "aws_iam_policy_document" "boundary" {
  statement {
    actions = [
      "backup:CopyFromBackupVault", "backup:CopyIntoBackupVault", "backup:DescribeBackupVault", "backup:TagResource",
      "dynamodb:*Item", "dynamodb:Describe*", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListTagsOfResource",
      "dynamodb:Query", "dynamodb:RestoreTableFromAwsBackup", "dynamodb:Scan", "dynamodb:StartAwsBackupJob",
      "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetAuthorizationToken", "ecr:GetDownloadUrlForLayer",
      "elasticloadbalancing:DeregisterTargets", "elasticloadbalancing:Describe*", "elasticloadbalancing:ModifyRule",
      "elasticloadbalancing:RegisterTargets", "kinesis:Describe*", "kinesis:Get*", "kinesis:List*", "kinesis:PutRecord*",
      "kinesis:RegisterStreamConsumer", "kinesis:SubscribeToShard", "kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey",
      "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents", "s3:AbortMultipartUpload", "s3:GetBucketLocation",
      "s3:GetObject", "s3:ListBucket*", "s3:PutObject", "secretsmanager:GetSecretValue", "sqs:ChangeMessageVisibility",
      "sqs:DeleteMessage", "sqs:GetQueue*", "sqs:ReceiveMessage", "sqs:SendMessage", "ssm:GetParameters", "xray:Put*",
    ]
    resources = ["*"]
  }
  statement { # AWS Backup's own use of the keys of vaults, and DynamoDB's of a table's
    actions   = ["kms:CreateGrant"]
    resources = ["*"]
    condition {
      test     = "Bool"
      variable = "kms:GrantIsForAWSResource"
      values   = ["true"]
    }
  }
  statement { # of a projection's tables only those that a rebuild makes, such as projection-user-g2
    actions = [
      "dynamodb:CreateTable", "dynamodb:DeleteTable", "dynamodb:TagResource", "dynamodb:UpdateContinuousBackups",
      "dynamodb:UpdateTable",
    ]
    resources = [for digits in ["?", "??", "???"] : "arn:aws:dynamodb:*:*:table/*-g${digits}"]
  }
}

resource "aws_iam_policy" "boundary" {
  name   = "leftfold-boundary"
  policy = data.aws_iam_policy_document.boundary.json
}

resource "aws_iam_role_policy" "this" {
  for_each = var.github_repository == null ? {} : {
    push   = data.aws_iam_policy_document.push.json
    plan   = data.aws_iam_policy_document.plan.json
    deploy = data.aws_iam_policy_document.deploy.json
  }

  name   = each.key
  role   = aws_iam_role.this[each.key].id
  policy = each.value
}

resource "aws_iam_role_policy_attachment" "this" {
  for_each = var.github_repository == null ? {} : { plan = "ReadOnlyAccess", deploy = "PowerUserAccess" }

  role       = aws_iam_role.this[each.key].name
  policy_arn = "arn:aws:iam::aws:policy/${each.value}"
}
