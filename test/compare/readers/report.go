package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/leftfold/leftfold/test/compare/internal/report"
)

// results are those of all trials.
type results struct {
	Date       string      `json:"date"`
	Machine    string      `json:"machine"`
	Rounds     int         `json:"rounds"`
	Steady     string      `json:"steady"`   // for which calls were counted
	Patience   string      `json:"patience"` // what took longer has this value
	Contenders []contender `json:"contenders"`
}

// write writes the results into comparison.md and readers.json, both in a folder.
func (r results) write(folder string) error { return report.Write(folder, "readers", r, r.markdown()) }

func (r results) markdown() string {
	var b strings.Builder
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(&b, format+"\n", args...) }
	line("%s, %s.\n`make compare-readers TRIALS=%d`: calls are counted for %s, and a change is waited for at most %s.",
		r.Date, r.Machine, r.Rounds, r.Steady, r.Patience)
	line("Medians, and in brackets the least and the most.\n")
	header, rule := "| measured |", "|---|"
	for _, c := range r.Contenders {
		header, rule = header+" "+c.Name+", "+c.Settings+" |", rule+"---|"
	}
	line("%s\n%s", header, rule)
	row := func(title, format string, of func(seen) float64) {
		b.WriteString("| " + title + " |")
		for _, c := range r.Contenders {
			measured := slices.DeleteFunc(slices.Clone(c.Seen), func(s seen) bool { return of(s) == nothing })
			cell := "it had no shard"
			if len(measured) > 0 {
				cell = report.Spread(format, measured, of)
			}
			b.WriteString(" " + cell + " |")
		}
		line("")
	}
	row("calls to the lease tables in a minute, two workers, nothing changes", "%.0f", func(s seen) float64 { return s.LeaseCalls })
	row("their read units", "%.0f", func(s seen) float64 { return s.ReadUnits })
	row("their write units", "%.0f", func(s seen) float64 { return s.WriteUnits })
	row("calls to Kinesis in that minute", "%.0f", func(s seen) float64 { return s.StreamCalls })
	row("the first worker starts: seconds until it reads", "%.1f", func(s seen) float64 { return s.Start })
	row("a second one", "%.1f", func(s seen) float64 { return s.Second })
	row("a third one", "%.1f", func(s seen) float64 { return s.Third })
	row("a worker is killed: seconds until others read all its shards", "%.1f", func(s seen) float64 { return s.TakeOver })
	row("the first one is killed, which is KCL's leader: the same", "%.1f", func(s seen) float64 { return s.TakeOverFromFirst })
	row("a shard is split: seconds until all keys are read on", "%.1f", func(s seen) float64 { return s.Split })
	row("a worker is stopped: seconds until others read all its shards", "%.1f", func(s seen) float64 { return s.HandOff })
	row("records read again after the kill", "%.0f", func(s seen) float64 { return float64(s.RepeatedByKill) })
	row("records read again after the stop", "%.0f", func(s seen) float64 { return float64(s.RepeatedByStop) })
	row("records read again in all", "%.0f", func(s seen) float64 { return float64(s.Repeated) })
	row("records written", "%.0f", func(s seen) float64 { return float64(s.Written) })
	row("records lost", "%.0f", func(s seen) float64 { return float64(s.Lost) })
	row("records read before one that precedes them", "%.0f", func(s seen) float64 { return float64(s.OutOfOrder) })
	line("")
	return b.String()
}
