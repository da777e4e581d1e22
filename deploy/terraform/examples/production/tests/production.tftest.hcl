mock_provider "aws" {
  source = "../../mocks"
}

variables {
  registry        = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
  image_tag       = "v1.2.3"
  certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/00000000-0000-0000-0000-000000000000"
  oidc_issuer     = "https://id.example.com"
  oidc_audience   = "leftfold"
}

run "everything" {
  command = apply

  assert {
    condition     = toset(keys(module.service)) == toset(["command-api", "streamer", "broker", "projector-user", "projector-role"])
    error_message = "Five services."
  }
  assert {
    condition     = output.archive_bucket == "leftfold-archive-123456789012-eu-central-1"
    error_message = "The archive's name is unique in the world."
  }
}

run "without_collectors" {
  command = apply

  variables {
    collector_image = null
  }

  assert {
    condition     = length(local.behind.streamer) == 0
    error_message = "Nothing scales by a metric that is not sent."
  }
}
