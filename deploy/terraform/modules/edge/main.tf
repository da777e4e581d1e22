# One address: the console's pages and the reads of projections and processes go to their services, everything else to command-api.
# deploy/compose/nginx.conf does the same.
locals {
  reads    = jsondecode(file("${path.module}/../consumers.json")) # by service
  pages    = var.console ? ["console"] : []
  services = concat(["command-api"], local.pages, keys(local.reads))
}

resource "aws_lb" "this" {
  name                       = var.name
  load_balancer_type         = "application"
  internal                   = var.internal
  subnets                    = var.subnet_ids
  security_groups            = [aws_security_group.this.id]
  drop_invalid_header_fields = true
  enable_deletion_protection = var.deletion_protection
  idle_timeout               = 60 # below the services' HTTP_IDLE_TIMEOUT of 2m: the load balancer closes connections first

  dynamic "access_logs" {
    for_each = var.access_log_bucket[*]
    content {
      bucket  = access_logs.value
      enabled = true
    }
  }
}

resource "aws_lb_target_group" "this" {
  for_each = toset([for of in setproduct(local.services, local.pair) : join("", of)])

  name = join("-", [
    var.name, replace(replace(trimprefix(each.key, "projector-"), "command-api", "command"), "processor", "proc"),
  ])
  vpc_id               = var.vpc_id
  target_type          = "ip"
  protocol             = "HTTP"
  port                 = 8080
  deregistration_delay = 30 # HTTP_WRITE_TIMEOUT: no answer takes longer

  # Readiness: fails before a task has worked for the first time, and while it stops. With a high threshold, because ECS replaces a
  # task that fails it: if AWS is away at the start, that does not help.
  health_check {
    port                = 9090
    path                = "/readyz"
    matcher             = "200"
    interval            = 10
    timeout             = 6
    healthy_threshold   = 2
    unhealthy_threshold = 10
  }
}

locals {
  listener_arn = var.plain_http ? aws_lb_listener.http.arn : aws_lb_listener.https[0].arn
}

resource "aws_lb_listener" "https" {
  count = var.plain_http ? 0 : 1

  load_balancer_arn = aws_lb.this.arn
  port              = 443
  protocol          = "HTTPS"
  certificate_arn   = var.certificate_arn
  ssl_policy        = var.ssl_policy

  # Never reached, since command-api has a rule, too: ECS shifts no default action.
  default_action {
    type = "fixed-response"
    fixed_response {
      content_type = "text/plain"
      status_code  = "404"
    }
  }
}

resource "aws_lb_listener_rule" "commands" {
  listener_arn = local.listener_arn
  priority     = 50000 # the last

  action {
    type = "forward"
    forward {
      target_group {
        arn    = aws_lb_target_group.this["command-api"].arn
        weight = 100
      }
      target_group {
        arn    = aws_lb_target_group.this["command-api-alt"].arn
        weight = 0
      }
    }
  }
  condition {
    path_pattern {
      values = ["/*"]
    }
  }

  lifecycle {
    ignore_changes = [action[0].forward[0].target_group] # ECS's
  }
}

resource "aws_lb_listener_rule" "pages" {
  for_each = toset(local.pages)

  listener_arn = local.listener_arn
  priority     = 1

  action {
    type = "forward"
    forward {
      target_group {
        arn    = aws_lb_target_group.this[each.key].arn
        weight = 100
      }
      target_group {
        arn    = aws_lb_target_group.this["${each.key}-alt"].arn
        weight = 0
      }
    }
  }
  condition {
    path_pattern {
      values = ["/${each.key}", "/${each.key}/*"]
    }
  }

  lifecycle {
    ignore_changes = [action[0].forward[0].target_group] # ECS's
  }
}

resource "aws_lb_listener_rule" "reads" {
  for_each = local.reads

  listener_arn = local.listener_arn
  priority     = each.value.priority

  action {
    type = "forward"
    forward {
      target_group {
        arn    = aws_lb_target_group.this[each.key].arn
        weight = 100
      }
      target_group {
        arn    = aws_lb_target_group.this["${each.key}-alt"].arn
        weight = 0
      }
    }
  }
  condition {
    path_pattern {
      values = each.value.paths
    }
  }
  condition {
    http_request_method {
      values = ["GET", "HEAD"]
    }
  }

  lifecycle {
    ignore_changes = [action[0].forward[0].target_group] # ECS's
  }
}

resource "aws_lb_listener" "http" {
  load_balancer_arn = aws_lb.this.arn
  port              = 80
  protocol          = "HTTP"

  default_action {
    type = var.plain_http ? "fixed-response" : "redirect"

    dynamic "fixed_response" {
      for_each = var.plain_http ? [404] : []
      content {
        content_type = "text/plain"
        status_code  = fixed_response.value
      }
    }
    dynamic "redirect" {
      for_each = var.plain_http ? [] : [443]
      content {
        protocol    = "HTTPS"
        port        = redirect.value
        status_code = "HTTP_301"
      }
    }
  }
}

resource "aws_security_group" "this" {
  name_prefix = "${var.name}-edge-"
  description = "The load balancer"
  vpc_id      = var.vpc_id

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "this" {
  for_each = { for pair in setproduct(var.allowed_cidrs, [80, 443]) : "${pair[0]}:${pair[1]}" => { cidr = pair[0], port = pair[1] } }

  security_group_id = aws_security_group.this.id
  description       = "HTTP and HTTPS from clients"
  cidr_ipv4         = each.value.cidr
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
}

resource "aws_vpc_security_group_egress_rule" "tasks" {
  for_each = toset(["8080", "9090"])

  security_group_id = aws_security_group.this.id
  description       = "Requests and health checks of tasks"
  cidr_ipv4         = var.vpc_cidr
  ip_protocol       = "tcp"
  from_port         = each.key
  to_port           = each.key
}
