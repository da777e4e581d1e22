# What each service may do. deploy/terraform/check runs every service under its role, refuses what IAM would refuse, and fails for a
# right that is missing or never used. Transactions need the rights of their parts; batches of SQS those of the single call.
locals {
  log     = aws_dynamodb_table.this["TABLE_EVENT_LOG"]
  claims  = aws_dynamodb_table.this["TABLE_SET_VALIDATIONS"]
  scopes  = aws_dynamodb_table.this["TABLE_SCOPES"]
  results = aws_dynamodb_table.this["TABLE_COMMANDS"]
  aside   = aws_dynamodb_table.this["TABLE_SET_ASIDE"]
  heard   = aws_dynamodb_table.this["TABLE_PROCESS_FENCES"]
  timers  = aws_dynamodb_table.this["TABLE_TIMERS"]

  snapshots   = aws_dynamodb_table.this["TABLE_SNAPSHOTS"]
  generations = aws_dynamodb_table.this["TABLE_GENERATIONS"]

  access = merge(local.projecting, {
    processor = merge(local.receiving.processor, {
      # Scan, and BatchGetItem: a catch-up compares what was heard with the whole log.
      log = {
        actions   = ["dynamodb:DescribeTable", "dynamodb:Query", "dynamodb:Scan", "dynamodb:PutItem"]
        resources = [local.log.arn]
      }
      fences = {
        actions = [
          "dynamodb:DescribeTable", "dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:PutItem", "dynamodb:ConditionCheckItem",
        ]
        resources = [local.heard.arn]
      }
      parked = { actions = ["dynamodb:Scan"], resources = ["${local.heard.arn}/index/*"] }
      timers = {
        actions   = ["dynamodb:DescribeTable", "dynamodb:Query", "dynamodb:PutItem", "dynamodb:DeleteItem"]
        resources = [local.timers.arn]
      }
      snapshots = {
        actions   = ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:DeleteItem"]
        resources = [local.snapshots.arn]
      }
      leases = { actions = ["dynamodb:DescribeTable"], resources = [aws_dynamodb_table.this["TABLE_LEASES"].arn] }
      own = {
        actions      = ["dynamodb:Query", "dynamodb:PutItem"]
        resources    = [aws_dynamodb_table.this["TABLE_LEASES"].arn]
        leading_keys = ["processor"]
      }
    })

    command-api = {
      log = {
        actions   = ["dynamodb:DescribeTable", "dynamodb:Query", "dynamodb:PutItem", "dynamodb:ConditionCheckItem"]
        resources = [local.log.arn]
      }
      # GetItem: a dry run looks up who has a value.
      claims = {
        actions   = ["dynamodb:DescribeTable", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:DeleteItem"]
        resources = [local.claims.arn]
      }
      scopes = {
        actions = [
          "dynamodb:DescribeTable", "dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:UpdateItem", "dynamodb:ConditionCheckItem",
        ]
        resources = [local.scopes.arn]
      }
      results = { actions = ["dynamodb:DescribeTable", "dynamodb:GetItem", "dynamodb:PutItem"], resources = [local.results.arn] }
      snapshots = {
        actions   = ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:DeleteItem"]
        resources = [local.snapshots.arn]
      }
    }

    # PutItem on the log and on timers: what operators do is an event, and they retry and end processes.
    console = {
      log = {
        actions   = ["dynamodb:DescribeTable", "dynamodb:Query", "dynamodb:GetItem", "dynamodb:PutItem"]
        resources = [local.log.arn]
      }
      claims      = { actions = ["dynamodb:GetItem"], resources = [local.claims.arn] }
      aside       = { actions = ["dynamodb:Scan"], resources = [local.aside.arn] }
      leases      = { actions = ["dynamodb:Query"], resources = [aws_dynamodb_table.this["TABLE_LEASES"].arn] }
      generations = { actions = ["dynamodb:GetItem"], resources = [local.generations.arn] }
      rows        = { actions = ["dynamodb:GetItem"], resources = concat(flatten(values(local.of_generations)), [local.heard.arn]) }
      timers      = { actions = ["dynamodb:Query", "dynamodb:PutItem", "dynamodb:DeleteItem"], resources = [local.timers.arn] }
      snapshots   = { actions = ["dynamodb:GetItem"], resources = [local.snapshots.arn] }
    }

    # Scan: to publish the log again when the table's stream has trimmed unread records.
    streamer = merge(local.leasing.streamer, {
      log = { actions = ["dynamodb:DescribeTable", "dynamodb:Scan"], resources = [local.log.arn] }
      changes = {
        actions   = ["dynamodb:DescribeStream", "dynamodb:GetShardIterator", "dynamodb:GetRecords"]
        resources = ["${local.log.arn}/stream/*"]
      }
      events = { actions = ["kinesis:DescribeStreamSummary", "kinesis:PutRecords"], resources = [aws_kinesis_stream.events.arn] }
    })

    broker = merge(local.leasing.broker, local.reading[var.stream_mode], {
      log = { actions = ["dynamodb:Scan"], resources = [local.log.arn] }
      queues = {
        actions   = ["sqs:GetQueueUrl", "sqs:GetQueueAttributes", "sqs:SendMessage"]
        resources = [for q in aws_sqs_queue.this : q.arn]
      }
    })
  })

  # By command of the program leftfold: what an operator who runs it needs.
  operators = {
    "claims audit" = {
      log = {
        actions   = ["dynamodb:Scan", "dynamodb:Query", "dynamodb:GetItem", "dynamodb:ConditionCheckItem"]
        resources = [local.log.arn]
      }
      claims = {
        actions   = ["dynamodb:Scan", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:DeleteItem"]
        resources = [local.claims.arn]
      }
    }
    "scopes audit" = {
      log    = { actions = ["dynamodb:Scan", "dynamodb:Query"], resources = [local.log.arn] }
      scopes = { actions = ["dynamodb:Scan", "dynamodb:PutItem"], resources = [local.scopes.arn] }
    }
    "projections audit" = {
      log         = { actions = ["dynamodb:Scan", "dynamodb:Query"], resources = [local.log.arn] }
      generations = { actions = ["dynamodb:GetItem"], resources = [local.generations.arn] }
      tables = {
        actions = [
          "dynamodb:Scan", "dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:PutItem", "dynamodb:DeleteItem",
          "dynamodb:ConditionCheckItem",
        ]
        resources = flatten(values(local.of_generations))
      }
    }
    "events journey" = {
      log         = { actions = ["dynamodb:GetItem", "dynamodb:Query", "dynamodb:Scan"], resources = [local.log.arn] }
      claims      = { actions = ["dynamodb:GetItem"], resources = [local.claims.arn] }
      aside       = { actions = ["dynamodb:Scan"], resources = [local.aside.arn] }
      leases      = { actions = ["dynamodb:Query"], resources = [aws_dynamodb_table.this["TABLE_LEASES"].arn] }
      generations = { actions = ["dynamodb:GetItem"], resources = [local.generations.arn] }
      rows        = { actions = ["dynamodb:GetItem"], resources = concat(flatten(values(local.of_generations)), [local.heard.arn]) }
    }
    "events show" = {
      log = { actions = ["dynamodb:Query"], resources = [local.log.arn] }
    }
    "events tail" = local.reading.polling
    "processes list" = {
      log       = { actions = ["dynamodb:Query"], resources = [local.log.arn] }
      timers    = { actions = ["dynamodb:Query"], resources = [local.timers.arn] }
      snapshots = { actions = ["dynamodb:GetItem"], resources = [local.snapshots.arn] }
    }
    "processes show" = {
      log       = { actions = ["dynamodb:Query"], resources = [local.log.arn] }
      snapshots = { actions = ["dynamodb:GetItem"], resources = [local.snapshots.arn] }
    }
    # Scan: --all finds in the log what waits.
    "processes retry" = {
      log       = { actions = ["dynamodb:Query", "dynamodb:Scan", "dynamodb:PutItem"], resources = [local.log.arn] }
      timers    = { actions = ["dynamodb:PutItem", "dynamodb:DeleteItem"], resources = [local.timers.arn] }
      snapshots = { actions = ["dynamodb:GetItem"], resources = [local.snapshots.arn] }
    }
    "processes cancel" = {
      log       = { actions = ["dynamodb:Query", "dynamodb:PutItem"], resources = [local.log.arn] }
      timers    = { actions = ["dynamodb:DeleteItem"], resources = [local.timers.arn] }
      snapshots = { actions = ["dynamodb:GetItem"], resources = [local.snapshots.arn] }
    }
    leases = {
      leases = { actions = ["dynamodb:Query"], resources = [aws_dynamodb_table.this["TABLE_LEASES"].arn] }
    }
    # GetItem and PutObject: --repair adds to the archive what the log has.
    "archive verify" = {
      log   = { actions = ["dynamodb:Scan", "dynamodb:GetItem"], resources = [local.log.arn] }
      files = { actions = ["s3:GetObject", "s3:PutObject"], resources = ["${aws_s3_bucket.archive.arn}/events/*"] }
      list  = { actions = ["s3:ListBucket"], resources = [aws_s3_bucket.archive.arn] }
    }
    # The rights of claims audit and scopes audit, and those to append. The tables named after the log are those that point in time
    # recovery made.
    "restore" = {
      log = {
        actions = [
          "dynamodb:Scan", "dynamodb:Query", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:ConditionCheckItem",
        ]
        resources = [local.log.arn]
      }
      recovered = { actions = ["dynamodb:Scan"], resources = ["${local.log.arn}-*"] }
      claims = {
        actions   = ["dynamodb:Scan", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:DeleteItem"]
        resources = [local.claims.arn]
      }
      scopes = { actions = ["dynamodb:Scan", "dynamodb:PutItem"], resources = [local.scopes.arn] }
      files  = { actions = ["s3:GetObject"], resources = ["${aws_s3_bucket.archive.arn}/events/*"] }
      list   = { actions = ["s3:ListBucket"], resources = [aws_s3_bucket.archive.arn] }
    }
    "projections list" = {
      generations = { actions = ["dynamodb:GetItem"], resources = [local.generations.arn] }
    }
    "projections rebuild" = {
      log = { actions = ["dynamodb:DescribeTable", "dynamodb:Scan", "dynamodb:Query"], resources = [local.log.arn] }
      tables = {
        actions   = ["dynamodb:DescribeTable", "dynamodb:DescribeContinuousBackups", "dynamodb:ListTagsOfResource", "dynamodb:Scan"]
        resources = local.projection_tables
      }
      # The next table is kept as the first: with its key (which the key's policy allows), tags, protection and recovery.
      next = {
        actions = [
          "dynamodb:CreateTable", "dynamodb:TagResource", "dynamodb:UpdateContinuousBackups", "dynamodb:DescribeTable", "dynamodb:Scan",
          "dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:PutItem", "dynamodb:DeleteItem", "dynamodb:ConditionCheckItem",
        ]
        resources = local.rebuilt_tables
      }
      generations = { actions = ["dynamodb:GetItem", "dynamodb:PutItem"], resources = [local.generations.arn] }
    }
    "projections switch"   = local.swap
    "projections rollback" = local.swap
    "projections retire" = {
      next = {
        actions   = ["dynamodb:DescribeTable", "dynamodb:UpdateTable", "dynamodb:DeleteTable"] # UpdateTable: to end its protection
        resources = local.rebuilt_tables
      }
      generations = { actions = ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:DeleteItem"], resources = [local.generations.arn] }
    }
    "set-aside list" = {
      aside = { actions = ["dynamodb:Scan"], resources = [local.aside.arn] }
    }
    "set-aside release" = {
      aside  = { actions = ["dynamodb:Scan", "dynamodb:DeleteItem"], resources = [local.aside.arn] }
      log    = { actions = ["dynamodb:GetItem"], resources = [local.log.arn] }
      events = { actions = ["kinesis:PutRecord"], resources = [aws_kinesis_stream.events.arn] }
    }
  }

  # A switch reads what the current generation has, and brings the other one up to it from the log.
  projection_tables = [for of in local.of_generations : of[0]]
  rebuilt_tables    = [for of in local.of_generations : of[1]]
  swap = {
    log = { actions = ["dynamodb:Query"], resources = [local.log.arn] }
    tables = {
      actions = [
        "dynamodb:Scan", "dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:PutItem", "dynamodb:DeleteItem",
        "dynamodb:ConditionCheckItem",
      ]
      resources = flatten(values(local.of_generations))
    }
    generations = { actions = ["dynamodb:GetItem", "dynamodb:PutItem"], resources = [local.generations.arn] }
  }

  # Each reader reads and writes only the leases of its own name.
  leasing = { for consumer in ["streamer", "broker"] : consumer => {
    leases = { actions = ["dynamodb:DescribeTable"], resources = [aws_dynamodb_table.this["TABLE_LEASES"].arn] }
    aside  = { actions = ["dynamodb:DescribeTable", "dynamodb:PutItem"], resources = [local.aside.arn] }
    own = {
      actions      = ["dynamodb:Query", "dynamodb:PutItem", "dynamodb:DeleteItem"]
      resources    = [aws_dynamodb_table.this["TABLE_LEASES"].arn]
      leading_keys = [consumer]
    }
  } }

  reading = {
    polling = {
      events = {
        actions   = ["kinesis:DescribeStreamSummary", "kinesis:ListShards", "kinesis:GetShardIterator", "kinesis:GetRecords"]
        resources = [aws_kinesis_stream.events.arn]
      }
    }
    fanout = {
      events = {
        actions   = ["kinesis:DescribeStreamSummary", "kinesis:ListShards", "kinesis:RegisterStreamConsumer"]
        resources = [aws_kinesis_stream.events.arn]
      }
      consumer = {
        actions   = ["kinesis:DescribeStreamConsumer", "kinesis:SubscribeToShard"]
        resources = [aws_kinesis_stream.events.arn, "${aws_kinesis_stream.events.arn}/consumer/*"]
      }
    }
  }

  # The tables of a projection: that of generation 1, and those that a rebuild makes.
  of_generations = { for service, of in local.projections : service => [
    for suffix in ["", "-g*"] : "${aws_dynamodb_table.this[of.table.variable].arn}${suffix}"
  ] }

  # What a projector reads beside single rows and its lists.
  reads = { projector-role = ["dynamodb:Query"], projector-audit = ["dynamodb:Query"] } # a role's members, the lists of the trail
  # And beside its own tables and the log: projector-user looks up who has an e-mail address.
  looked_up = { projector-user = { claims = { actions = ["dynamodb:GetItem"], resources = [local.claims.arn] } } }

  projecting = { for service, of in local.projections : service => merge(lookup(local.looked_up, service, {}), local.receiving[service], {
    # Scan of both, and BatchGetItem: catch-ups and audits compare the projection with the whole log.
    log = { actions = ["dynamodb:DescribeTable", "dynamodb:Query", "dynamodb:Scan"], resources = [local.log.arn] }
    table = {
      actions = concat(
        ["dynamodb:DescribeTable", "dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:PutItem", "dynamodb:DeleteItem"],
        ["dynamodb:ConditionCheckItem", "dynamodb:Scan"], lookup(local.reads, service, []),
      )
      resources = local.of_generations[service]
    }
    indexes     = { actions = ["dynamodb:Scan"], resources = [for table in local.of_generations[service] : "${table}/index/*"] }
    generations = { actions = ["dynamodb:DescribeTable", "dynamodb:GetItem"], resources = [local.generations.arn] }
  }) }

  receiving = { for service, of in local.consumers : service => {
    queue = {
      actions   = ["sqs:GetQueueUrl", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"]
      resources = [aws_sqs_queue.this[of.queue.variable].arn]
    }
    dead = { actions = ["sqs:GetQueueUrl", "sqs:SendMessage"], resources = [aws_sqs_queue.dead[of.queue.variable].arn] }
  } }
}

# To be attached to the roles of operators; no role of the system has them.
resource "aws_iam_policy" "operator" {
  for_each = local.operators

  name   = "${var.prefix}leftfold-${replace(each.key, " ", "-")}"
  path   = "/leftfold/"
  policy = data.aws_iam_policy_document.operator[each.key].json
}

data "aws_iam_policy_document" "operator" {
  for_each = local.operators

  dynamic "statement" {
    for_each = each.value
    content {
      sid       = statement.key
      actions   = statement.value.actions
      resources = statement.value.resources
    }
  }
}
