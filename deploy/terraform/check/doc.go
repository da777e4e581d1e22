// Package check holds the Terraform of this repository to its Go: what one declares, the other does. It evaluates the modules itself, without
// Terraform, a provider or a network, so that it runs wherever Go's tests do.
package check
