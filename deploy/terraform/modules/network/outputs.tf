output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "cidr" {
  description = "The VPC's addresses."
  value       = aws_vpc.this.cidr_block
}

output "private_subnet_ids" {
  description = "Subnets of the tasks."
  value       = [for s in aws_subnet.private : s.id]
}

output "public_subnet_ids" {
  description = "Subnets of the load balancer."
  value       = [for s in aws_subnet.public : s.id]
}

output "public_cidrs" {
  description = "Addresses whose X-Forwarded-For the services may trust."
  value       = [for s in aws_subnet.public : s.cidr_block]
}

output "private_cidrs" {
  description = "Addresses of the tasks."
  value       = [for s in aws_subnet.private : s.cidr_block]
}

output "table_streams_endpoint" {
  description = "URL of DynamoDB Streams inside the VPC; null without the endpoint."
  value       = one([for e in aws_vpc_endpoint.table_streams : "https://${e.dns_entry[0].dns_name}"])
}
