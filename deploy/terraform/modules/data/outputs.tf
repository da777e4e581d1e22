output "environment" {
  description = "The environment variables that name tables, stream and queues, for every service."
  value = merge(
    { for variable, t in aws_dynamodb_table.this : variable => t.name },
    { for variable, q in aws_sqs_queue.this : variable => q.name },
    {
      STREAM_EVENTS    = aws_kinesis_stream.events.name
      STREAM_MODE      = var.stream_mode
      STREAM_RETENTION = "${var.stream_retention_hours}h"
      QUEUE_VISIBILITY = "30s"
    },
  )
}

output "access" {
  description = "By service: what its task role may do."
  value       = local.access
}

output "operators" {
  description = "By command of the program leftfold: what an operator who runs it must be allowed to do."
  value       = local.operators
}

output "operator_policies" {
  description = "By command of the program leftfold: the policy that allows it, for the roles of operators."
  value       = { for command, p in aws_iam_policy.operator : command => p.arn }
}

output "log" {
  description = "The event log: its table, and the key that encrypts it."
  value       = { arn = local.log.arn, kms_key_arn = aws_kms_key.this["data"].arn }
}

output "tables" {
  description = "Names of the tables."
  value       = [for t in aws_dynamodb_table.this : t.name]
}

output "indexes" {
  description = "The tables' indexes."
  value = flatten([for variable, t in local.tables : [
    for index in keys(try(t.indexes, {})) : { table = aws_dynamodb_table.this[variable].name, index = index }
  ]])
}

output "queues" {
  description = "Names of the queues, by the variable of each."
  value       = { for variable, q in aws_sqs_queue.this : variable => q.name }
}

output "dead_letter_queues" {
  description = "Names of the dead-letter queues."
  value       = [for q in aws_sqs_queue.dead : q.name]
}

output "stream" {
  description = "Name of the Kinesis stream."
  value       = aws_kinesis_stream.events.name
}

output "archive" {
  description = "The archive of all events: the bucket and the Firehose that fills it."
  value       = { bucket = aws_s3_bucket.archive.bucket, firehose = aws_kinesis_firehose_delivery_stream.archive.name }
}

output "kms_key_arn" {
  description = "The key that encrypts tables, stream, queues and logs."
  value       = aws_kms_key.this["data"].arn
}

output "key_arns" {
  description = "All keys."
  value       = [for k in aws_kms_key.this : k.arn]
}
