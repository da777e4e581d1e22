output "dns_name" {
  description = "Target of the alias of the API's host name."
  value       = aws_lb.this.dns_name
}

output "zone_id" {
  description = "The load balancer's zone, for a Route 53 alias."
  value       = aws_lb.this.zone_id
}

output "arn_suffix" {
  description = "The load balancer in CloudWatch's metrics."
  value       = aws_lb.this.arn_suffix
}

output "targets" {
  description = "By service: its target groups, the security group that reaches its tasks, and its label for the autoscaler."
  value = { for service, group in aws_lb_target_group.this : service => {
    target_group_arn       = group.arn
    admin_target_group_arn = try(aws_lb_target_group.admin[service].arn, null)
    arn_suffix             = group.arn_suffix
    resource_label         = "${aws_lb.this.arn_suffix}/${group.arn_suffix}"
    security_group_id      = aws_security_group.this.id
  } }

  # ECS refuses a target group without a listener.
  depends_on = [aws_lb_listener.http, aws_lb_listener.https, aws_lb_listener_rule.reads, aws_lb_listener_rule.admin]
}
