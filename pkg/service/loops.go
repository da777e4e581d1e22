package service

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/leftfold/leftfold/pkg/engine/progress"
)

// loopAges shows the loops of a process as metrics. Of loops that have one name, such as handlers, it shows the oldest turn.
type loopAges struct{ loops *progress.Loops }

var loopAge = prometheus.NewDesc( //nolint:gochecknoglobals // read only
	"loop_age_seconds", "Time since a loop of the process turned, whatever came of it; /healthz says which are stuck.", []string{"loop"}, nil)

// Describe implements prometheus.Collector.
func (loopAges) Describe(ch chan<- *prometheus.Desc) { ch <- loopAge }

// Collect implements prometheus.Collector.
func (l loopAges) Collect(ch chan<- prometheus.Metric) {
	last := ""
	for _, s := range l.loops.All() { // by name, the oldest turn first
		if s.Name != last {
			ch <- prometheus.MustNewConstMetric(loopAge, prometheus.GaugeValue, s.Age.Seconds(), s.Name)
		}
		last = s.Name
	}
}
