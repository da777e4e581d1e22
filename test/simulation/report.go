package simulation

import (
	"fmt"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// Report is the result of a run.
type Report struct {
	Seed     uint64
	Plan     Plan
	Hash     string
	Trace    []string `json:"-"`
	Breaches []Breach
	Virtual  time.Duration
	Took     time.Duration
	// Settled is how long after the trouble everything was visible.
	Settled time.Duration

	Steps, Events                                   int
	Commands, Accepted, Refused, Unclear            int
	Reads, Kills, Pauses, Silent, Reshards, Outages int
	Derived                                         int // commands of processes
	Replaced                                        int // streams
	Replacements                                    int // of replicas by those of another build
	Rebuilds                                        int // and switches, rollbacks and ends of them
	Audits, Damaged, Repaired                       int // of read models; rows
	FencesLost                                      int // of processes
	Pages                                           int // of the retirement that took most
	Verified, Restored                              int // comparisons of archive and log; lost logs
	Faults, Healed, Duplicates, TakeOvers, Parked   int
	// Tally is what became of the events. It is counted of variants only.
	Tally Tally
	// Denied are calls and batches refused for a missing right, SetAside the records set aside, Retries the batches that hops
	// sent again.
	Denied, SetAside, Retries int
}

// Breach is a promise that was broken.
type Breach struct {
	Promise string // such as "§8.1"
	Stream  string // that it is about, if any
	Text    string
}

func (b Breach) String() string { return b.Promise + ": " + b.Text }

// Add adds the numbers of o.
func (r *Report) Add(o *Report) {
	r.Tally.Add(o.Tally)
	r.Virtual += o.Virtual
	r.Took += o.Took
	for _, each := range [][2]*int{
		{&r.Steps, &o.Steps},
		{&r.Events, &o.Events},
		{&r.Commands, &o.Commands},
		{&r.Accepted, &o.Accepted},
		{&r.Refused, &o.Refused},
		{&r.Unclear, &o.Unclear},
		{&r.Reads, &o.Reads},
		{&r.Kills, &o.Kills},
		{&r.Pauses, &o.Pauses},
		{&r.Silent, &o.Silent},
		{&r.Reshards, &o.Reshards},
		{&r.Outages, &o.Outages},
		{&r.Derived, &o.Derived},
		{&r.Replaced, &o.Replaced},
		{&r.Replacements, &o.Replacements},
		{&r.Rebuilds, &o.Rebuilds},
		{&r.Audits, &o.Audits},
		{&r.Damaged, &o.Damaged},
		{&r.FencesLost, &o.FencesLost},
		{&r.Pages, &o.Pages},
		{&r.Repaired, &o.Repaired},
		{&r.Verified, &o.Verified},
		{&r.Restored, &o.Restored},
		{&r.Faults, &o.Faults},
		{&r.Healed, &o.Healed},
		{&r.Duplicates, &o.Duplicates},
		{&r.TakeOvers, &o.TakeOvers},
		{&r.Parked, &o.Parked},
		{&r.Denied, &o.Denied},
		{&r.SetAside, &o.SetAside},
		{&r.Retries, &o.Retries},
	} {
		*each[0] += *each[1]
	}
}

// String returns the numbers in a few lines.
func (r *Report) String() string {
	return fmt.Sprintf("commands %d (accepted %d, refused %d, no answer or 5xx %d), of processes %d, events %d, reads %d, steps %d\n"+
		"kills %d, pauses %d, silent calls %d, reshards %d, streams replaced %d, outages %d, builds replaced %d, rebuilds moved %d, "+
		"audits %d (rows damaged %d, written since %d), fences of processes lost %d, archives verified %d, logs restored %d, "+
		"faults struck %d (rights denied %d)\n"+
		"take-overs %d, gaps healed %d events, duplicates fenced %d, batches retried %d, aggregates parked %d, records set aside %d, "+
		"virtual hours %.1f",
		r.Commands, r.Accepted, r.Refused, r.Unclear, r.Derived, r.Events, r.Reads, r.Steps,
		r.Kills, r.Pauses, r.Silent, r.Reshards, r.Replaced, r.Outages, r.Replacements, r.Rebuilds,
		r.Audits, r.Damaged, r.Repaired, r.FencesLost, r.Verified, r.Restored, r.Faults, r.Denied,
		r.TakeOvers, r.Healed, r.Duplicates, r.Retries, r.Parked, r.SetAside, r.Virtual.Hours())
}

// History returns the end of the trace, as far as it concerns the breach.
func (r *Report) History(b Breach, most int) []string {
	var out []string
	for _, line := range r.Trace {
		_, id, _ := strings.Cut(b.Stream, "/user/")
		if id == "" {
			_, id, _ = strings.Cut(b.Stream, "/role/")
		}
		if b.Stream == "" || strings.Contains(line, id) || strings.Contains(line, " kill ") || strings.Contains(line, " pause ") {
			out = append(out, line)
		}
	}
	return out[max(0, len(out)-most):]
}

// count sums the numbers of the run and the metrics of the services.
func (w *world) count() {
	r := &w.report
	r.Derived = len(w.ledger.derived)
	for _, c := range w.ledger.commands {
		r.Commands++
		switch {
		case c.accepted():
			r.Accepted++
		case c.refused():
			r.Refused++
		default:
			r.Unclear++
		}
	}
	r.Reads, r.Steps = len(w.ledger.reads), w.scheduler.steps
	for _, c := range w.monitor.commits {
		r.Events += len(c.events)
	}
	for _, l := range w.lives {
		if l.registry == nil {
			continue
		}
		families, err := l.registry.Gather()
		if err != nil {
			continue
		}
		for _, f := range families {
			for name, target := range map[string]*int{
				"leftfold_projection_healed_total": &r.Healed, "leftfold_projection_duplicates_total": &r.Duplicates,
				"leftfold_projection_parked_total": &r.Parked, "leftfold_shards_take_overs_total": &r.TakeOvers,
				"leftfold_publish_retries_total": &r.Retries, "leftfold_route_retries_total": &r.Retries,
				"leftfold_publish_undecodable_total": &r.SetAside, "leftfold_publish_refused_total": &r.SetAside,
				"leftfold_route_undecodable_total": &r.SetAside, "leftfold_route_refused_total": &r.SetAside,
			} {
				if f.GetName() == name {
					*target += sum(f.GetMetric())
				}
			}
		}
	}
	r.Trace, r.Hash = w.trace.lines, w.trace.hash()
}

func sum(metrics []*dto.Metric) (n int) {
	for _, m := range metrics {
		n += int(m.GetCounter().GetValue())
	}
	return n
}
