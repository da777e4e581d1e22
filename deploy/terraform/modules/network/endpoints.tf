# AWS without the internet. Gateway endpoints cost nothing.
resource "aws_vpc_endpoint" "gateway" {
  for_each = toset(["dynamodb", "s3"])

  vpc_id            = aws_vpc.this.id
  service_name      = "com.amazonaws.${local.region}.${each.key}"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [for t in aws_route_table.private : t.id]
  tags              = { Name = "${var.name}-${each.key}" }
}

resource "aws_vpc_endpoint" "interface" {
  for_each = setsubtract(var.interface_endpoints, ["dynamodb-streams"])

  vpc_id              = aws_vpc.this.id
  service_name        = "com.amazonaws.${local.region}.${each.key}"
  vpc_endpoint_type   = "Interface"
  private_dns_enabled = true
  subnet_ids          = [for s in aws_subnet.private : s.id]
  security_group_ids  = [aws_security_group.endpoints.id]
  tags                = { Name = "${var.name}-${each.key}" }
}

# The tables' streams: neither the gateway endpoint nor private DNS serves them, so the streamer gets the address.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/privatelink-streams.html
resource "aws_vpc_endpoint" "table_streams" {
  count = contains(var.interface_endpoints, "dynamodb-streams") ? 1 : 0

  vpc_id             = aws_vpc.this.id
  service_name       = "com.amazonaws.${local.region}.dynamodb-streams"
  vpc_endpoint_type  = "Interface"
  subnet_ids         = [for s in aws_subnet.private : s.id]
  security_group_ids = [aws_security_group.endpoints.id]
  tags               = { Name = "${var.name}-dynamodb-streams" }
}

resource "aws_security_group" "endpoints" {
  name_prefix = "${var.name}-endpoints-"
  description = "HTTPS from inside the VPC"
  vpc_id      = aws_vpc.this.id

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "endpoints" {
  security_group_id = aws_security_group.endpoints.id
  description       = "HTTPS from inside the VPC"
  cidr_ipv4         = var.cidr
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}
