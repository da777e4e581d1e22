output "api" {
  description = "What the API's host name is an alias of."
  value       = { dns_name = module.edge.dns_name, zone_id = module.edge.zone_id }
}

output "archive_bucket" {
  description = "Where every event is kept."
  value       = module.data.archive.bucket
}

output "alarms_topic" {
  description = "Where alarms are told."
  value       = module.observability.topic_arn
}
