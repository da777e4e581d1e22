resource "aws_kinesis_stream" "events" {
  name             = "${var.prefix}event-source"
  shard_count      = var.stream_shards
  retention_period = var.stream_retention_hours
  encryption_type  = "KMS"
  kms_key_id       = aws_kms_key.this["data"].arn

  # With fan-out, the broker registers its consumer itself; it is deleted with the stream.
  enforce_consumer_deletion = true

  stream_mode_details {
    stream_mode = var.stream_shards == null ? "ON_DEMAND" : "PROVISIONED"
  }
}
