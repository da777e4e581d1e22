mock_provider "aws" {
  source = "../../mocks"
}

run "nobody_may_release" {
  command = apply

  assert {
    condition     = length(aws_iam_role.this) == 0 && length(aws_ecr_repository.this) == length(local.images)
    error_message = "Without a repository there are no roles."
  }
}

run "a_repository_releases" {
  command = apply

  variables {
    github_repository = "you/leftfold"
  }

  assert {
    condition = alltrue([for role, environment in { push = "release", plan = "release", deploy = "production" } : contains(
      flatten([for c in data.aws_iam_policy_document.trust[role].statement[0].condition : c.values]),
      "repo:you/leftfold:environment:${environment}",
    )])
    error_message = "Each role trusts the jobs of one environment."
  }
  assert {
    condition     = alltrue([for a in aws_iam_role_policy_attachment.this : !strcontains(a.policy_arn, "AdministratorAccess")])
    error_message = "No workflow is an administrator."
  }
  assert {
    condition = alltrue([
      for s in data.aws_iam_policy_document.deploy.statement :
      s.effect == "Deny" || s.sid == "See" || !contains(s.resources, "*")
    ])
    error_message = "The role that deploys changes its own roles only."
  }
  assert {
    condition = alltrue([for right in ["kms:ScheduleKeyDeletion", "dynamodb:DeleteTable", "s3:DeleteObjectVersion"] : contains(
      flatten([for s in data.aws_iam_policy_document.deploy.statement : s.actions if s.sid == "NoEnd"]), right,
    )])
    error_message = "It deletes neither keys nor data."
  }
}
