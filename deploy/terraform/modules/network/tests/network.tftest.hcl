mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name = "leftfold"
}

run "no_way_out_by_default" {
  command = apply

  assert {
    condition     = length(aws_nat_gateway.this) == 0 && length(aws_route.nat) == 0
    error_message = "Without NAT gateways the private subnets have no route to the internet."
  }
  assert {
    condition = (
      length(aws_subnet.private) == 2 &&
      length(distinct([for s in concat(values(aws_subnet.private), values(aws_subnet.public)) : s.cidr_block])) == 4
    )
    error_message = "A public and a private subnet in each zone, without overlap."
  }
  assert {
    condition     = output.table_streams_endpoint == "https://vpce-1.streams.dynamodb.eu-central-1.vpce.amazonaws.com"
    error_message = "The endpoint of DynamoDB Streams is an output."
  }
}

run "public_only" {
  command = apply

  variables {
    interface_endpoints = []
  }

  assert {
    condition = (
      length(aws_vpc_endpoint.interface) + length(aws_vpc_endpoint.table_streams) == 0 && output.table_streams_endpoint == null
    )
    error_message = "Without interface endpoints nothing is charged by the hour."
  }
}

run "one_for_all_zones" {
  command = apply

  variables {
    zones        = 3
    nat_gateways = 1
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 1 && length(aws_route.nat) == 3
    error_message = "All zones share one."
  }
}

run "one_each" {
  command = apply

  variables {
    nat_gateways = 2
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 2 && length(aws_route.nat) == 2
    error_message = "Each zone has its own."
  }
}

run "two_for_three" {
  command = plan

  variables {
    zones        = 3
    nat_gateways = 2
  }

  expect_failures = [var.nat_gateways]
}
