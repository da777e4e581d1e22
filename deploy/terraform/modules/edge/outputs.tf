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
  description = "By service: what its module needs of the load balancer, and the dimensions of its target groups' metrics."
  value = { for service in local.services : service => {
    security_group_id = aws_security_group.this.id
    role_arn          = aws_iam_role.deployments.arn
    ports = { for port, of in local.ports : port => {
      target_group_arn           = of.groups[service].arn
      alternate_target_group_arn = of.groups["${service}-alt"].arn
      listener_rule_arn          = of.rules[service].arn
    } if contains(keys(of.groups), service) }
    metrics = [for of in local.pair : {
      LoadBalancer = aws_lb.this.arn_suffix
      TargetGroup  = aws_lb_target_group.this["${service}${of}"].arn_suffix
    }]
  } }

  depends_on = [aws_lb_listener.http, aws_lb_listener.https, aws_iam_role_policy.deployments]
}
