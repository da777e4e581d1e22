# Keyed by the variable that holds the name. pkg/iam/provision declares the same; deploy/terraform/check compares.
locals {
  consumers   = jsondecode(file("${path.module}/../consumers.json")) # by service
  projections = { for service, c in local.consumers : service => c if c.read_model }

  tables = merge({
    TABLE_EVENT_LOG       = { name = "EventLog", hash_key = "stream", range_key = "version", types = { version = "N" }, streamed = true }
    TABLE_SET_VALIDATIONS = { name = "set-validations", hash_key = "constraint" }
    TABLE_SCOPES          = { name = "scopes", hash_key = "scope" }
    TABLE_COMMANDS        = { name = "commands", hash_key = "id", expires = "expires_at" }
    TABLE_SNAPSHOTS       = { name = "snapshots", hash_key = "stream", disposable = true }
    TABLE_LEASES          = { name = "leases", hash_key = "consumer", range_key = "shard", disposable = true }
    TABLE_SET_ASIDE       = { name = "set-aside", hash_key = "id" }
    TABLE_GENERATIONS     = { name = "projection-generations", hash_key = "projection" }
    TABLE_TIMERS          = { name = "timers", hash_key = "bucket", range_key = "due" }
    }, { for c in local.consumers : c.table.variable => {
      name = c.table.name, hash_key = "id", range_key = "row", indexes = local.projection_indexes
  } })
  projection_indexes = { listing = "listed", parking = "parked" }
}

resource "aws_dynamodb_table" "this" {
  for_each = local.tables

  name         = lookup(var.table_names, each.key, "${var.prefix}${each.value.name}")
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = each.value.hash_key
  range_key    = try(each.value.range_key, null)

  stream_enabled   = try(each.value.streamed, false)
  stream_view_type = try(each.value.streamed, false) ? "NEW_IMAGE" : null

  deletion_protection_enabled = var.deletion_protection

  dynamic "attribute" {
    for_each = toset(compact(concat(
      [each.value.hash_key, try(each.value.range_key, null)], values(try(each.value.indexes, {})),
    )))
    content {
      name = attribute.value
      type = try(each.value.types[attribute.value], "S")
    }
  }

  dynamic "global_secondary_index" {
    for_each = try(each.value.indexes, {})
    content {
      name            = global_secondary_index.key
      hash_key        = global_secondary_index.value
      projection_type = "ALL"
    }
  }

  dynamic "ttl" {
    for_each = try([each.value.expires], [])
    content {
      attribute_name = ttl.value
      enabled        = true
    }
  }

  # Disposable tables are rebuilt from the log.
  point_in_time_recovery {
    enabled                 = !try(each.value.disposable, false)
    recovery_period_in_days = try(each.value.disposable, false) ? null : var.recovery_days
  }

  server_side_encryption {
    enabled     = true
    kms_key_arn = aws_kms_key.this["data"].arn
  }
}
