# Keyed as the tables are. The attributes are those of pkg/engine/fifoqueue; deploy/terraform/check compares.
locals {
  queues = { for c in local.consumers : c.queue.variable => c.queue.name }
}

resource "aws_sqs_queue" "this" {
  for_each = local.queues

  name                       = "${var.prefix}${each.value}.fifo"
  fifo_queue                 = true
  deduplication_scope        = "messageGroup"
  fifo_throughput_limit      = "perMessageGroupId"
  message_retention_seconds  = 1209600
  visibility_timeout_seconds = 30

  kms_master_key_id                 = aws_kms_key.this["data"].arn
  kms_data_key_reuse_period_seconds = 300

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead[each.key].arn
    maxReceiveCount     = 1000
  })
}

resource "aws_sqs_queue" "dead" {
  for_each = local.queues

  name                      = "${var.prefix}${each.value}-dlq.fifo"
  fifo_queue                = true
  deduplication_scope       = "messageGroup"
  fifo_throughput_limit     = "perMessageGroupId"
  message_retention_seconds = 1209600

  kms_master_key_id                 = aws_kms_key.this["data"].arn
  kms_data_key_reuse_period_seconds = 300
}

resource "aws_sqs_queue_redrive_allow_policy" "dead" {
  for_each = local.queues

  queue_url = aws_sqs_queue.dead[each.key].id
  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [aws_sqs_queue.this[each.key].arn]
  })
}
