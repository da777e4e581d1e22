# What must exist before the first release, applied once, by hand, with local state: a bucket for the state of everything else,
# repositories for images, and roles for GitHub's workflows, which need no stored keys.
data "aws_caller_identity" "this" {}

locals {
  projections = jsondecode(file("${path.module}/../../modules/projections.json")) # by service
  images      = concat(["command-api", "streamer", "broker", "leftfold", "collector"], keys(local.projections))
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
    selection    = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = 600 }
    action       = { type = "expire" }
  }] })
}

resource "aws_iam_openid_connect_provider" "github" {
  count = var.github_repository == null ? 0 : 1

  url            = "https://token.actions.githubusercontent.com"
  client_id_list = ["sts.amazonaws.com"]
}

# push: any tag's workflow. deploy: jobs of the environment production, whose reviewers have approved.
data "aws_iam_policy_document" "trust" {
  for_each = var.github_repository == null ? {} : { push = "ref:refs/tags/v*", deploy = "environment:production" }

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
      test     = "StringLike"
      variable = "token.actions.githubusercontent.com:sub"
      values   = ["repo:${var.github_repository}:${each.value}"]
    }
  }
}

resource "aws_iam_role" "this" {
  for_each = data.aws_iam_policy_document.trust

  name                 = "leftfold-${each.key}"
  assume_role_policy   = each.value.json
  max_session_duration = 3600
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

resource "aws_iam_role_policy" "push" {
  count = var.github_repository == null ? 0 : 1

  name   = "push"
  role   = aws_iam_role.this["push"].id
  policy = data.aws_iam_policy_document.push.json
}

# It creates networks, roles and keys, so narrower rights would not restrict it. The approval protects it.
resource "aws_iam_role_policy_attachment" "deploy" {
  count = var.github_repository == null ? 0 : 1

  role       = aws_iam_role.this["deploy"].name
  policy_arn = "arn:aws:iam::aws:policy/AdministratorAccess"
}
