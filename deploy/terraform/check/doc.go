// Package check compares the Terraform of this repository with its Go code: resources, environment, rights and routes must agree.
// It evaluates the modules itself, without Terraform, a provider or a network, so that it runs wherever Go's tests do.
package check
