// Package alerts tests Prometheus's alerts: it evaluates them as Prometheus does, on the metrics of a healthy system and of disasters.
// It is a module outside of go.work, so that what Prometheus needs selects the versions of no program.
package alerts
