mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name            = "leftfold"
  vpc_id          = "vpc-1"
  vpc_cidr        = "10.0.0.0/16"
  subnet_ids      = ["subnet-1", "subnet-2"]
  certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/00000000-0000-0000-0000-000000000000"
}

run "routes" {
  command = apply

  assert {
    condition     = aws_lb_listener.https[0].protocol == "HTTPS" && aws_lb_listener.http.default_action[0].redirect[0].protocol == "HTTPS"
    error_message = "HTTPS only; HTTP is redirected to it."
  }
  assert {
    condition = toset(flatten([
      for c in aws_lb_listener_rule.reads["projector-role"].condition : [for p in c.path_pattern : p.values]
    ])) == toset(["/roles", "/roles/*"])
    error_message = "projector-role reads roles."
  }
  assert {
    condition = alltrue([for r in aws_lb_listener_rule.reads : toset(flatten([
      for c in r.condition : [for m in c.http_request_method : m.values]
    ])) == toset(["GET", "HEAD"])])
    error_message = "Projectors get reads only."
  }
  assert {
    condition     = toset(keys(output.targets)) == toset(concat(["command-api"], keys(local.reads)))
    error_message = "Each service with a REST API has target groups."
  }
  assert {
    condition = alltrue([
      for r in concat([aws_lb_listener_rule.commands], values(aws_lb_listener_rule.reads)) :
      toset(r.action[0].forward[0].target_group[*].weight) == toset([100, 0])
    ])
    error_message = "Traffic begins at one of the two target groups of each service."
  }
  assert {
    condition = alltrue([for service, t in output.targets : (
      keys(t.ports) == ["8080"] && length(t.metrics) == 2 && t.role_arn == aws_iam_role.deployments.arn
    )])
    error_message = "ECS shifts the traffic of the API's port."
  }
  assert {
    condition     = length(aws_wafv2_web_acl.this) == 0 && aws_lb.this.enable_deletion_protection
    error_message = "No WAF by default; protected from deletion."
  }
}

run "for_a_trial" {
  command = apply

  variables {
    certificate_arn = null
    plain_http      = true
    allowed_cidrs   = ["192.0.2.1/32"]
  }

  assert {
    condition     = length(aws_lb_listener.https) == 0 && aws_lb_listener_rule.commands.listener_arn == aws_lb_listener.http.arn
    error_message = "Without a certificate the API is served by HTTP."
  }
}

run "with_a_console" {
  command = apply

  variables {
    console = true
  }

  assert {
    condition = toset(flatten([
      for c in aws_lb_listener_rule.pages["console"].condition : [for p in c.path_pattern : p.values]
    ])) == toset(["/console", "/console/*"]) && keys(output.targets["console"].ports) == ["8080"]
    error_message = "The console has its pages, by every method."
  }
}

run "sessions_do_not_cross_a_network_in_plain_text" {
  command = plan

  variables {
    console       = true
    plain_http    = true
    allowed_cidrs = ["192.0.2.1/32"]
  }

  expect_failures = [var.console]
}

run "target_groups_names_have_room" {
  command = plan

  variables {
    name = "seventeen-letters"
  }

  expect_failures = [var.name]
}

run "tokens_do_not_cross_the_internet_in_plain_text" {
  command = plan

  variables {
    plain_http = true
  }

  expect_failures = [var.plain_http]
}

run "for_operators" {
  command = apply

  variables {
    admin_cidrs = ["192.0.2.0/24"]
  }

  assert {
    condition     = aws_lb_listener.admin[0].protocol == "HTTPS" && aws_lb_listener.admin[0].default_action[0].type == "fixed-response"
    error_message = "What is not an operator's is not found."
  }
  assert {
    condition     = keys(aws_vpc_security_group_ingress_rule.admin) == ["192.0.2.0/24"]
    error_message = "Only their networks connect."
  }
  assert {
    condition = keys(output.targets["command-api"].ports) == ["8080"] && alltrue([
      for service in keys(local.reads) : keys(output.targets[service].ports) == ["8080", "9090"]
    ])
    error_message = "Projectors have operations for operators."
  }
  assert {
    condition     = alltrue([for r in aws_lb_listener_rule.admin : r.action[0].forward[0].stickiness[0].enabled])
    error_message = "The load balancer refuses sticky target groups behind a rule that is not."
  }
}

run "behind_a_waf" {
  command = apply

  variables {
    waf = true
  }

  assert {
    condition     = length(aws_wafv2_web_acl_association.this) == 1 && length(aws_wafv2_web_acl.this[0].rule) == 3
    error_message = "Bad addresses, bad inputs, too many requests."
  }
}
