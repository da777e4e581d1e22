package process

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	inputs    *prometheus.CounterVec // by kind
	commands  *prometheus.CounterVec // by outcome
	conflicts prometheus.Counter
}

// Kinds of inputs, and outcomes of commands.
const (
	inputEvent  = "event"
	inputTimer  = "timer"
	inputAnswer = "answer"

	commandAccepted = "accepted"
	commandRefused  = "refused"
	commandFailed   = "failed"
)

func outcomeOf(a Answer) string {
	if a.Refused != "" {
		return commandRefused
	}
	return commandAccepted
}

// newMetrics registers the metrics, if reg is not nil. Each counter starts at zero, so that its first increase is seen.
func newMetrics(reg prometheus.Registerer, process string) metrics {
	register := promauto.With(prometheus.WrapRegistererWith(prometheus.Labels{"process": process}, reg))
	counter := func(name, help, label string, values ...string) *prometheus.CounterVec {
		c := register.NewCounterVec(prometheus.CounterOpts{Name: "process_" + name + "_total", Help: help}, []string{label})
		for _, v := range values {
			c.WithLabelValues(v)
		}
		return c
	}
	return metrics{
		inputs:   counter("inputs", "Inputs that a process has handled.", "kind", inputEvent, inputTimer, inputAnswer),
		commands: counter("commands", "Sendings of commands by what came of them.", "outcome", commandAccepted, commandRefused, commandFailed),
		conflicts: register.NewCounter(prometheus.CounterOpts{
			Name: "process_conflicts_total", Help: "Inputs that lost a race for their process and were decided again.",
		}),
	}
}
