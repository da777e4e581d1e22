output "api" {
  description = "The API."
  value       = "http://${module.edge.dns_name}"
}
