output "api" {
  description = "Target of the alias of the API's host name."
  value       = { dns_name = module.edge.dns_name, zone_id = module.edge.zone_id }
}

output "archive_bucket" {
  description = "The archive of all events."
  value       = module.data.archive.bucket
}

output "alarms_topic" {
  description = "Topic of the alarms."
  value       = module.observability.topic_arn
}

output "operator_policies" {
  description = "By command of the program leftfold: the policy for the roles of those who run it."
  value       = module.data.operator_policies
}
