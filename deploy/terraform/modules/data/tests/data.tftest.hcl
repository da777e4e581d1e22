mock_provider "aws" {
  source = "../../mocks"
}

run "names_and_settings" {
  command = apply

  variables {
    prefix = "staging-"
  }

  assert {
    condition = (
      output.environment.TABLE_EVENT_LOG == "staging-EventLog" &&
      output.environment.QUEUE_IAM_USER == "staging-IamUserQueue.fifo"
    )
    error_message = "Every name has the prefix."
  }
  assert {
    condition = aws_dynamodb_table.this["TABLE_EVENT_LOG"].stream_view_type == "NEW_IMAGE" && alltrue([
      for variable, t in aws_dynamodb_table.this : !t.stream_enabled if variable != "TABLE_EVENT_LOG"
    ])
    error_message = "Only the log has a stream, of new images."
  }
  assert {
    condition = alltrue([
      for variable, t in aws_dynamodb_table.this :
      t.deletion_protection_enabled && t.server_side_encryption[0].enabled
      && t.point_in_time_recovery[0].enabled != contains(["TABLE_SNAPSHOTS", "TABLE_LEASES"], variable)
    ])
    error_message = "Every table is protected and encrypted; all that cannot be rebuilt can be restored."
  }
  assert {
    condition     = jsondecode(aws_sqs_queue.this["QUEUE_IAM_ROLE"].redrive_policy).maxReceiveCount == 1000
    error_message = "The queue's own redrive policy is the last resort."
  }
  assert {
    condition = (
      aws_kinesis_firehose_delivery_stream.archive.extended_s3_configuration[0].compression_format == "GZIP"
      && length(aws_s3_bucket_object_lock_configuration.archive) == 0
    )
    error_message = "The archive is compressed, and not locked."
  }
  assert {
    condition = (
      aws_kinesis_stream.events.stream_mode_details[0].stream_mode == "PROVISIONED" &&
      output.environment.STREAM_RETENTION == "24h"
    )
    error_message = "Two shards that keep a day, and the broker knows the retention."
  }
}

run "a_locked_archive" {
  command = apply

  variables {
    archive_lock_days = 365
  }

  assert {
    condition     = aws_s3_bucket_object_lock_configuration.archive[0].rule[0].default_retention[0].days == 365
    error_message = "Archived events cannot be deleted."
  }
}

run "operators" {
  command = apply

  assert {
    condition = (
      keys(output.operator_policies) == keys(output.operators)
      && [for s in data.aws_iam_policy_document.operator["set-aside list"].statement : s.sid] == ["aside"]
    )
    error_message = "Each command has a policy with its rights."
  }
}

run "on_demand" {
  command = apply

  variables {
    stream_shards          = null
    stream_retention_hours = 168
  }

  assert {
    condition = (
      aws_kinesis_stream.events.stream_mode_details[0].stream_mode == "ON_DEMAND" &&
      output.environment.STREAM_RETENTION == "168h"
    )
    error_message = "Without a number of shards the stream is on demand."
  }
}

run "fan_out_needs_other_rights" {
  command = apply

  variables {
    stream_mode = "fanout"
  }

  assert {
    condition = (
      contains(output.access["broker"].consumer.actions, "kinesis:SubscribeToShard")
      && !contains(output.access["broker"].events.actions, "kinesis:GetRecords")
    )
    error_message = "The broker subscribes and does not poll."
  }
}

run "polling_needs_no_consumer" {
  command = apply

  assert {
    condition     = !can(output.access["broker"].consumer)
    error_message = "A polling broker does not subscribe."
  }
}

run "a_restored_table" {
  command = apply

  variables {
    prefix      = "staging-"
    table_names = { TABLE_EVENT_LOG = "EventLog-restored" }
  }

  assert {
    condition     = output.environment.TABLE_EVENT_LOG == "EventLog-restored" && output.environment.TABLE_COMMANDS == "staging-commands"
    error_message = "A given name is used without the prefix."
  }
}

run "unknown_mode" {
  command = plan

  variables {
    stream_mode = "push"
  }

  expect_failures = [var.stream_mode]
}
