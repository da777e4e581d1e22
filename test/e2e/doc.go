// Package e2e tests the whole system: every command through the whole pipeline, crashes, races, bad input, and what the
// pipeline costs. It has tests and benchmarks only.
package e2e
