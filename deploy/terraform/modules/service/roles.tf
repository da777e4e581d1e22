# Two roles: ECS starts the task with one, the service runs with the other.
data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

resource "aws_iam_role" "task" {
  name                 = "${local.name}-task"
  path                 = "/leftfold/"
  permissions_boundary = var.permissions_boundary
  assume_role_policy   = data.aws_iam_policy_document.trust.json
}

resource "aws_iam_role_policy" "task" {
  name   = "task"
  role   = aws_iam_role.task.id
  policy = data.aws_iam_policy_document.task.json
}

data "aws_iam_policy_document" "task" {
  dynamic "statement" {
    for_each = var.permissions
    content {
      sid       = replace(statement.key, "/[^a-zA-Z0-9]/", "")
      actions   = statement.value.actions
      resources = statement.value.resources

      dynamic "condition" {
        for_each = statement.value.leading_keys == null ? [] : [statement.value.leading_keys]
        content {
          test     = "ForAllValues:StringEquals"
          variable = "dynamodb:LeadingKeys"
          values   = condition.value
        }
      }
    }
  }

  dynamic "statement" {
    for_each = aws_cloudwatch_log_group.metrics
    content {
      sid       = "Metrics"
      actions   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
      resources = ["${statement.value.arn}:*"]
    }
  }

  dynamic "statement" {
    for_each = local.tracing ? [1] : []
    content {
      sid       = "Traces"
      actions   = ["xray:PutTraceSegments", "xray:PutTelemetryRecords"]
      resources = ["*"] # X-Ray has no narrower resources
    }
  }
}

resource "aws_iam_role" "execution" {
  name                 = "${local.name}-execution"
  path                 = "/leftfold/"
  permissions_boundary = var.permissions_boundary
  assume_role_policy   = data.aws_iam_policy_document.trust.json
}

resource "aws_iam_role_policy" "execution" {
  name   = "execution"
  role   = aws_iam_role.execution.id
  policy = data.aws_iam_policy_document.execution.json
}

locals {
  # Images in ECR, by account, region and repository; others need no rights.
  repositories = [for image in compact([var.image, var.collector_image]) :
    format("arn:%s:ecr:%s:%s:repository/%s",
    local.partition, regex(local.ecr, image)[1], regex(local.ecr, image)[0], regex(local.ecr, image)[2])
  if can(regex(local.ecr, image))]
  ecr = "^([0-9]{12})\\.dkr\\.ecr\\.([a-z0-9-]+)\\.amazonaws\\.com[.a-z]*/([^:@]+)"

  # A key within a secret follows its ARN after a colon; the ARN itself has seven parts.
  secret_arns = [for arn in values(var.secrets) : join(":", slice(split(":", arn), 0, min(7, length(split(":", arn)))))]
}

data "aws_iam_policy_document" "execution" {
  statement {
    sid       = "Login"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"] # it has no narrower resources
  }

  dynamic "statement" {
    for_each = length(local.repositories) > 0 ? [1] : []
    content {
      sid       = "Pull"
      actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      resources = local.repositories
    }
  }

  statement {
    sid       = "Logs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.this.arn}:*"]
  }

  dynamic "statement" {
    for_each = length(var.secrets) > 0 ? [1] : []
    content {
      sid       = "Secrets"
      actions   = ["secretsmanager:GetSecretValue", "ssm:GetParameters"]
      resources = local.secret_arns
    }
  }
  # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/secrets-envvar-secrets-manager.html
  dynamic "statement" {
    for_each = length(var.secret_key_arns) > 0 ? [1] : []
    content {
      sid       = "SecretKeys"
      actions   = ["kms:Decrypt"]
      resources = var.secret_key_arns

      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = [for s in ["secretsmanager", "ssm"] : "${s}.${local.region}.amazonaws.com"]
      }
    }
  }
}
