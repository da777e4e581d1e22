mock_provider "aws" {
  source = "../../mocks"
}

variables {
  registry      = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
  image_tag     = "v1.2.3"
  allowed_cidrs = ["192.0.2.1/32"]
  oidc_issuer   = "https://id.example.com"
  oidc_audience = "leftfold"

  processor_client_id  = "processor"
  processor_secret_arn = "arn:aws:ssm:eu-central-1:123456789012:parameter/processor"
}

run "everything" {
  command = apply

  assert {
    condition     = toset(keys(module.service)) == toset(concat(["command-api", "streamer", "broker"], keys(local.consumers)))
    error_message = "Every service."
  }
  assert {
    condition = alltrue([
      for url in [local.calls.COMMAND_API_URL, local.calls.ROLES_URL] : contains([
        for called in aws_service_discovery_service.called :
        "http://${called.name}.${aws_service_discovery_private_dns_namespace.this.name}:8080"
      ], url)
    ])
    error_message = "The processes find the services that they call inside the VPC."
  }
  assert {
    condition     = module.network.table_streams_endpoint == null
    error_message = "No interface endpoint is paid for."
  }
}
