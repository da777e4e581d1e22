# For operators, if admin_cidrs names their networks: the projections' operations of the admin address (docs/admin.md), at a port of
# their own. The services require ADMIN_TOKEN there. A catch-up's progress is shown by the task that runs it, so a cookie leads back to it.
locals {
  admin = length(var.admin_cidrs) == 0 ? {} : local.reads
}

resource "aws_lb_target_group" "admin" {
  for_each = toset([for of in setproduct(keys(local.admin), local.pair) : join("", of)])

  name                 = "${var.name}-${replace(trimprefix(each.key, "projector-"), "processor", "proc")}-admin"
  vpc_id               = var.vpc_id
  target_type          = "ip"
  protocol             = "HTTP"
  port                 = 9090
  deregistration_delay = 30

  stickiness {
    type            = "lb_cookie"
    cookie_duration = 86400
  }

  health_check {
    path                = "/readyz"
    matcher             = "200"
    interval            = 10
    timeout             = 6
    healthy_threshold   = 2
    unhealthy_threshold = 10
  }
}

resource "aws_lb_listener" "admin" {
  count = length(var.admin_cidrs) == 0 ? 0 : 1

  load_balancer_arn = aws_lb.this.arn
  port              = 9443
  protocol          = "HTTPS"
  certificate_arn   = var.certificate_arn
  ssl_policy        = var.ssl_policy

  default_action {
    type = "fixed-response"
    fixed_response {
      content_type = "text/plain"
      status_code  = "404"
    }
  }
}

resource "aws_lb_listener_rule" "admin" {
  for_each = local.admin

  listener_arn = aws_lb_listener.admin[0].arn
  priority     = each.value.priority

  action {
    type = "forward"
    forward {
      target_group {
        arn    = aws_lb_target_group.admin[each.key].arn
        weight = 100
      }
      target_group {
        arn    = aws_lb_target_group.admin["${each.key}-alt"].arn
        weight = 0
      }
      # Sticky target groups need a sticky rule: https://github.com/kubernetes-sigs/aws-load-balancer-controller/issues/2734
      stickiness {
        enabled  = true
        duration = 86400
      }
    }
  }
  condition {
    path_pattern {
      values = ["/projections/${each.value.name}/*"]
    }
  }

  lifecycle {
    ignore_changes = [action[0].forward[0].target_group] # ECS's
  }
}

resource "aws_vpc_security_group_ingress_rule" "admin" {
  for_each = var.admin_cidrs

  security_group_id = aws_security_group.this.id
  description       = "Operators"
  cidr_ipv4         = each.key
  ip_protocol       = "tcp"
  from_port         = 9443
  to_port           = 9443
}
