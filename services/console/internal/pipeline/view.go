package pipeline

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// View is the pipeline as it is shown.
type View struct {
	At time.Time
	// Watched is how long it has been watched without a break: rates are of that time, at most a minute.
	Watched time.Duration
	// Stages are passed one after the other, and then all of Ends.
	Stages    []Stage
	Ends      []Stage
	Processes []Process
	// Attention is what is wrong, the worst first. Empty: nothing that is known.
	Attention []Attention
}

// RatesKnown reports whether it was watched for long enough to tell rates.
func (v View) RatesKnown() bool { return v.Watched >= every/2 }

// Stage is a place on the way of an event.
type Stage struct {
	Name string
	// Does is what it does with an event.
	Does string
	// Seen says whether any process of it was seen.
	Seen bool
	// Rate is in events a second.
	Rate float64
	// Rates are the rates between the looks, the oldest first.
	Rates []float64
	// P50 and P99 are from an event's recording to the end of this stage; of command-api, from a command's arrival to its answer. They
	// are of the last minute, or without events in it of the time since the processes began. LagKnown is false without any.
	P50, P99 time.Duration
	LagKnown bool
	Facts    []Fact
	Wrong    bool
}

// Fact is one more number of a stage.
type Fact struct{ Name, Value string }

// Attention is something that is wrong.
type Attention struct {
	Stage string
	Text  string
	// Page is that of the console where something can be done, below its prefix. Empty: there is none.
	Page string
}

// View returns what is known.
func (w *Watcher) View() View {
	w.mu.Lock()
	defer w.mu.Unlock()
	v := View{Processes: w.processes}
	if len(w.readings) == 0 {
		return v
	}
	now := w.readings[len(w.readings)-1]
	v.At, v.Watched = now.at, now.at.Sub(w.readings[0].at)
	for _, p := range w.processes {
		switch {
		case !p.Ready:
			v.attend("", fmt.Sprintf("%s: %s", p.Address, p.Status), "")
		default:
			for _, away := range p.Away {
				v.attend("", fmt.Sprintf("%s: %s", p.Address, away), "")
			}
		}
	}
	v.Stages = append(v.Stages, w.commands(&v), w.hop(&v, "streamer", "publish", "reads the log's stream, writes to Kinesis"),
		w.hop(&v, "broker", "route", "reads Kinesis, writes to each queue"))
	for _, p := range w.consumers {
		v.Ends = append(v.Ends, w.projection(&v, p))
	}
	return v
}

func (v *View) attend(stage, text, page string) {
	v.Attention = append(v.Attention, Attention{stage, text, page})
}

// measured fills in the rate and the times of a histogram.
func (w *Watcher) measured(s *Stage, histogram string, of labels) {
	first, last := w.readings[0], w.readings[len(w.readings)-1]
	whole, before := last.histogram(histogram, of), first.histogram(histogram, of)
	for i, r := range w.readings[1:] {
		earlier := w.readings[i]
		took := r.at.Sub(earlier.at).Seconds()
		s.Rates = append(s.Rates, max(0, r.sum(histogram, of)-earlier.sum(histogram, of))/took)
	}
	if took := last.at.Sub(first.at).Seconds(); took > 0 {
		s.Rate = max(0, last.sum(histogram, of)-first.sum(histogram, of)) / took
	}
	s.P50, s.LagKnown = quantile(.5, whole, before)
	if !s.LagKnown {
		before = nil
		s.P50, s.LagKnown = quantile(.5, whole, before)
	}
	s.P99, _ = quantile(.99, whole, before)
}

// grown is by how much a counter has grown while it was watched.
func (w *Watcher) grown(name string, of labels) float64 {
	return max(0, w.readings[len(w.readings)-1].sum(name, of)-w.readings[0].sum(name, of))
}

func (w *Watcher) commands(v *View) Stage {
	now := w.readings[len(w.readings)-1]
	s := Stage{Name: "command-api", Does: "decides, appends to the log", Seen: seen(now, "command-api")}
	w.measured(&s, "leftfold_command_seconds", nil)
	s.fact("accepted", now.sum("leftfold_commands_total", labels{"outcome": "accepted"}))
	s.fact("lost races", now.sum("leftfold_command_conflicts_total", nil))
	if n := w.grown("leftfold_log_hole_total", nil); n > 0 {
		v.wrong(&s, "the log lacks an event of a stream", "")
	}
	return s
}

// hop is the streamer or the broker, whose metrics begin with the name of what they do.
func (w *Watcher) hop(v *View, service, does, means string) Stage {
	now, of := w.readings[len(w.readings)-1], labels{"consumer": service}
	s := Stage{Name: service, Does: means, Seen: seen(now, service)}
	w.measured(&s, "leftfold_"+does+"_seconds", nil)
	s.fact("shards read", float64(now.count("leftfold_shards_poll_age_seconds", of)))
	if behind, ok := now.most("leftfold_shards_behind_seconds", of); ok {
		s.Facts = append(s.Facts, Fact{"behind", Duration(seconds(behind))})
		if behind > late.Seconds() {
			v.wrong(&s, fmt.Sprintf("a shard is %s behind", Duration(seconds(behind))), "/operate/leases")
		}
	}
	if n := w.grown("leftfold_"+does+"_retries_total", nil); n > 0 {
		s.fact("tried again, in this minute", n)
	}
	if n := now.sum("leftfold_"+does+"_refused_total", nil) + now.sum("leftfold_"+does+"_undecodable_total", nil); n > 0 {
		v.wrong(&s, Count(n)+" set aside since its start", "")
	}
	return s
}

// late is when a delay is called wrong; docs/service-levels.md promises less.
const late = 30 * time.Second

func (w *Watcher) projection(v *View, p Consumer) Stage {
	now, of, queue := w.readings[len(w.readings)-1], labels{"projection": p.Name}, labels{"queue": p.Queue}
	s := Stage{Name: p.Service, Does: p.Does, Seen: seen(now, p.Service)}
	w.measured(&s, "leftfold_project_seconds", of)
	s.fact("in flight", now.sum("leftfold_fifoqueue_in_flight", queue))
	if age, ok := now.most("leftfold_fifoqueue_oldest_age_seconds", queue); ok && age > late.Seconds() {
		v.wrong(&s, fmt.Sprintf("a message waits for %s", Duration(seconds(age))), "")
	}
	s.fact("healed", now.sum("leftfold_projection_healed_total", of))
	s.fact("repeated", now.sum("leftfold_projection_duplicates_total", of))
	if parked := now.sum("leftfold_projection_parked_total", of) - now.sum("leftfold_projection_redriven_total", of); parked > 0 {
		v.wrong(&s, Count(parked)+" parked since its start, and not redriven", "/operate/parked")
	}
	for _, what := range []string{"stuck", "parked"} {
		if n, ok := now.most("leftfold_timers_"+what, labels{"service": p.Service}); ok && n > 0 {
			v.wrong(&s, Count(n)+" timers or commands of processes are "+what, "/operate/processes")
		}
	}
	if n := now.sum("leftfold_projection_audit_differences_total", of); n > 0 {
		v.wrong(&s, Count(n)+" rows differed from the log in an audit", "/operate/readmodels")
	}
	if due, _ := now.most("leftfold_projection_rebuild_due", of); due > 0 {
		v.wrong(&s, "this build has a newer shape of the rows: rebuild", "/operate/readmodels")
	}
	return s
}

func (v *View) wrong(s *Stage, text, page string) {
	s.Wrong = true
	v.attend(s.Name, text, page)
}

func (s *Stage) fact(name string, value float64) { s.Facts = append(s.Facts, Fact{name, Count(value)}) }

// seen reports whether a process of the service counts anything.
func seen(r reading, service string) bool {
	_, ok := r.most("leftfold_build_info", labels{"service": service})
	return ok
}

// Count is a number for people.
func Count(n float64) string {
	text := strconv.FormatFloat(math.Round(n), 'f', 0, 64)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// Duration is a duration for people, in two or three digits.
func Duration(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	default:
		return d.Round(time.Minute).String()
	}
}
