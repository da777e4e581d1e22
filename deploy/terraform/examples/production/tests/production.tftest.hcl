mock_provider "aws" {
  source = "../../mocks"
}

variables {
  registry        = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
  image_tag       = "v1.2.3"
  host            = "api.example.com"
  certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/00000000-0000-0000-0000-000000000000"
  oidc_issuer     = "https://id.example.com"
  oidc_audience   = "leftfold"

  processor_client_id  = "processor"
  processor_secret_arn = "arn:aws:ssm:eu-central-1:123456789012:parameter/processor"
}

run "everything" {
  command = apply

  assert {
    condition = (
      toset(keys(module.projector)) == toset(keys(local.consumers))
      && toset(keys(module.service)) == toset(["command-api", "streamer", "broker"])
    )
    error_message = "All projectors, and three services that follow them."
  }
  assert {
    condition     = length(module.network.private_subnet_ids) == 3 && join(",", local.secret_stores) == "ssm"
    error_message = "Three zones, and an endpoint for the secret."
  }
  assert {
    condition = (
      local.services.broker.scaling.max == local.stream_shards
      && alltrue([for s in local.signals : !strcontains(jsonencode(s), "Age") && !strcontains(jsonencode(s), "behind")])
    )
    error_message = "No more brokers than shards, and nothing is scaled by an age."
  }
  assert {
    condition     = length(module.backup) == 0
    error_message = "No copies unless there is a vault for them."
  }
  assert {
    condition     = output.archive_bucket == "leftfold-archive-123456789012-eu-central-1"
    error_message = "The archive's name is unique in the world."
  }
}

run "without_collectors" {
  command = apply

  variables {
    collector_tag = null
  }

  assert {
    condition = (
      local.collector_image == null
      && toset(keys(local.signals)) == toset(concat(["streamer", "broker"], keys(local.consumers)))
    )
    error_message = "Scaling needs no collector."
  }
}

run "with_copies_in_another_account" {
  command = apply

  variables {
    backup_vault_arn = "arn:aws:backup:eu-west-1:999999999999:backup-vault:leftfold"
  }

  assert {
    condition     = length(module.backup) == 1
    error_message = "The log is copied."
  }
}

run "with_secrets" {
  command = apply

  variables {
    secrets = {
      ADMIN_TOKEN = "arn:aws:ssm:eu-central-1:123456789012:parameter/leftfold/admin-token"
    }
  }

  assert {
    condition     = join(",", local.secret_stores) == "ssm"
    error_message = "Tasks reach the store of their secrets."
  }
}

run "with_a_console" {
  command = apply

  variables {
    console = {
      client_id = "console"
      secrets   = { SESSION_KEYS = "arn:aws:ssm:eu-central-1:123456789012:parameter/leftfold/session-keys" }
    }
  }

  assert {
    condition = (
      contains(keys(module.service), "console") && contains(keys(module.edge.targets), "console")
      && toset(keys(aws_service_discovery_service.asked)) == toset(concat(["command-api", "streamer", "broker"], keys(local.consumers)))
    )
    error_message = "The console is served, and finds the tasks of all others."
  }
}

run "a_console_without_a_key" {
  command = plan

  variables {
    console = { client_id = "console", secrets = {} }
  }

  expect_failures = [var.console]
}

run "a_console_beside_a_canary" {
  command = plan

  variables {
    deployment = "canary"
    console = {
      client_id = "console"
      secrets   = { SESSION_KEYS = "arn:aws:ssm:eu-central-1:123456789012:parameter/leftfold/session-keys" }
    }
  }

  expect_failures = [var.console]
}

run "operators_without_a_token" {
  command = plan

  variables {
    admin_cidrs = ["192.0.2.0/24"]
  }

  expect_failures = [var.admin_cidrs]
}

run "with_a_canary" {
  command = apply

  variables {
    deployment = "canary"
  }

  assert {
    condition     = toset(keys(module.edge.targets)) == toset(concat(["command-api"], keys(local.consumers)))
    error_message = "Services with an API have a canary; streamer and broker roll."
  }
}
