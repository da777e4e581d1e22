# Each service has two target groups at each of its ports. ECS registers a release at the one that the rule does not forward to, then shifts
# the rule's weights, which are ECS's from then on; a rolling release stays where it is.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/alb-resources-for-blue-green.html
locals {
  pair = ["", "-alt"]
  ports = {
    8080 = { groups = aws_lb_target_group.this, rules = merge(
      { command-api = aws_lb_listener_rule.commands }, aws_lb_listener_rule.pages, aws_lb_listener_rule.reads,
    ) }
    9090 = { groups = aws_lb_target_group.admin, rules = aws_lb_listener_rule.admin }
  }
}

# The role with which ECS does so: what AmazonECSInfrastructureRolePolicyForLoadBalancers allows, at this load balancer only. The trust
# is as AWS documents it, without a condition:
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/AmazonECSInfrastructureRolePolicyForLoadBalancers.html
data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ecs.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "deployments" {
  statement {
    sid = "See"
    actions = [
      "elasticloadbalancing:DescribeListeners", "elasticloadbalancing:DescribeRules", "elasticloadbalancing:DescribeTargetGroups",
      "elasticloadbalancing:DescribeTargetHealth",
    ]
    resources = ["*"] # they have no narrower resources
  }
  statement {
    sid       = "Register"
    actions   = ["elasticloadbalancing:DeregisterTargets", "elasticloadbalancing:RegisterTargets"]
    resources = concat(values(aws_lb_target_group.this)[*].arn, values(aws_lb_target_group.admin)[*].arn)
  }
  statement {
    sid       = "Shift"
    actions   = ["elasticloadbalancing:ModifyRule"]
    resources = flatten([for of in local.ports : values(of.rules)[*].arn])
  }
}

resource "aws_iam_role" "deployments" {
  name                 = "${var.name}-deployments"
  path                 = "/leftfold/"
  permissions_boundary = var.permissions_boundary
  assume_role_policy   = data.aws_iam_policy_document.trust.json
}

resource "aws_iam_role_policy" "deployments" {
  name   = "deployments"
  role   = aws_iam_role.deployments.id
  policy = data.aws_iam_policy_document.deployments.json
}
