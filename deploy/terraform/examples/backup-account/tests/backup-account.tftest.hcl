mock_provider "aws" {
  source = "../../mocks"
}

variables {
  region          = "eu-west-1"
  source_accounts = ["111111111111"]
  administrators  = ["Administrator"]
}

run "a_vault_for_copies" {
  command = apply

  assert {
    condition     = length(aws_backup_vault_lock_configuration.this) == 0
    error_message = "It is not locked unless that is wanted."
  }
}

run "a_locked_vault" {
  command = apply

  variables {
    lock_days = 30
  }

  assert {
    condition = (
      aws_backup_vault_lock_configuration.this[0].min_retention_days == 30
      && aws_backup_vault_lock_configuration.this[0].changeable_for_days == null
    )
    error_message = "In governance mode."
  }
}

run "no_account" {
  command = plan

  variables {
    source_accounts = []
  }

  expect_failures = [var.source_accounts]
}
