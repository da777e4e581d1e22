// Package e2e holds the whole system to its promises: every command through the whole pipeline, crashes, races, bad
// input, and what it costs. It has tests and benchmarks only.
package e2e
