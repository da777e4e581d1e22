mock_provider "aws" {
  source = "../../mocks"
}

variables {
  log = {
    arn         = "arn:aws:dynamodb:eu-central-1:123456789012:table/EventLog"
    kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  }
  vault_arn = "arn:aws:backup:eu-west-1:999999999999:backup-vault:leftfold"
}

run "copies_of_the_log" {
  command = apply

  assert {
    condition = (
      one(one(aws_backup_plan.this.rule).copy_action).destination_vault_arn == var.vault_arn
      && one(one(one(aws_backup_plan.this.rule).copy_action).lifecycle).delete_after == 35
      && one(aws_backup_selection.this.resources) == var.log.arn
    )
    error_message = "The log alone is copied to the other account."
  }
}

run "no_vault" {
  command = plan

  variables {
    vault_arn = "leftfold"
  }

  expect_failures = [var.vault_arn]
}
