package simulation

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/leftfold/leftfold/pkg/engine/archive"
	"github.com/leftfold/leftfold/pkg/retry"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/services/leftfold/app"
)

// archiveDelay is how long a verification allows an event to be on its way into the archive.
const archiveDelay = 20 * time.Second

// verification is one comparison of the archive with the log, and what it reported.
type verification struct {
	began, ended time.Time
	whole        bool // it read everything
	findings     []archive.Finding
	// before and after say since when each event was in the archive as it began and as it ended. losses are objects that were lost
	// between the two.
	before, after map[archivedEvent]time.Time
	losses        int
}

// archiveConfig is the configuration of the archive's processes.
func (w *world) archiveConfig() app.ArchiveConfig {
	c := w.config.Archive
	c.Archive, c.Every = bucketURL, 3*time.Second
	return c
}

func (w *world) newArchiver(ctx context.Context, p service.Platform) (service.App, error) {
	return app.NewArchiveWriter(ctx, w.archiveConfig(), p)
}

// verifierOf compares the archive with the log again and again. Where objects are lost, the last comparison adds what is missing.
func (w *world) verifierOf(p service.Platform) (turn, error) {
	storage, err := w.archiveConfig().Storage(p.AWS)
	_, log := w.storesOf(p)
	return func(ctx context.Context, last bool) bool {
		if !last && retry.Sleep(ctx, p.Jitter(20*time.Second)) != nil {
			return false
		}
		v := &verification{began: time.Now()}
		v.before, v.losses = w.bucket.since()
		result, err := archive.Verify(ctx, archive.VerifyConfig{
			Storage: storage, EventLog: log, Delay: archiveDelay, Now: p.Now, Parallel: 8,
			Repair:    last && slices.Contains(w.plan.Moves, moveObjectLost),
			OnFinding: func(f archive.Finding) { v.findings = append(v.findings, f) },
		})
		after, losses := w.bucket.since()
		v.ended, v.whole, v.after, v.losses = time.Now(), err == nil, after, losses-v.losses
		w.ledger.mu.Lock()
		w.ledger.verifications = append(w.ledger.verifications, v)
		w.ledger.mu.Unlock()
		return v.whole && result.Young == 0
	}, err
}

// archives checks that a comparison reports what the archive lacked for long, and nothing else, and that in the end it has all that
// the log has, unchanged.
func (j *judgement) archives() {
	if !j.plan.Archive {
		return
	}
	for _, v := range j.ledger.verifications {
		missing := map[archivedEvent]bool{}
		for _, f := range v.findings {
			for version := f.First; version <= f.Last && f.Kind == archive.Missing; version++ {
				missing[archivedEvent{stream: f.Stream, version: version}] = true
			}
			if j.matters(f) && !v.lacks(f) {
				j.breach("archive", f.Stream, "a comparison with the log, begun at %s, reported: %s", j.trace.clock(v.began), f)
			}
		}
		for _, c := range j.monitor.commits {
			for _, e := range c.events {
				key := archivedEvent{stream: e.stream, version: e.version}
				absent := v.before[key].IsZero() && v.after[key].IsZero() && v.losses == 0
				if v.whole && absent && c.at.Before(v.began.Add(-archiveDelay)) && !missing[key] {
					j.breach("archive", e.stream, "a comparison with the log, begun at %s, did not report version %d of %s as missing",
						j.trace.clock(v.began), e.version, e.stream)
				}
			}
		}
	}
	j.report.Verified = len(j.ledger.verifications)
	storage, err := j.archiveConfig().Storage(j.besideScheduler())
	must(err)
	_, err = archive.Verify(j.ctx, archive.VerifyConfig{
		Storage: storage, EventLog: j.world.log, Now: time.Now, OnFinding: func(f archive.Finding) {
			if j.matters(f) {
				j.breach("archive", f.Stream, "in the end: %s", f)
			}
		},
	})
	if err != nil { // such as one whose objects are all lost
		j.breach("archive", "", "in the end: %v", err)
	}
}

// matters reports whether a finding is about more than what the pipeline cannot carry.
func (j *judgement) matters(f archive.Finding) bool {
	if f.Kind == archive.Unreadable {
		return !slices.Contains(j.plan.Moves, moveUnacceptable)
	}
	return !j.ledger.cannotCarry(place{f.Stream, "1"})
}

// lacks reports whether the finding is that events are missing which came after the comparison had begun, or never.
func (v *verification) lacks(f archive.Finding) bool {
	for version := f.First; version <= f.Last; version++ {
		if at := v.after[archivedEvent{stream: f.Stream, version: version}]; !at.IsZero() && at.Before(v.began) {
			return false
		}
	}
	return f.Kind == archive.Missing
}

// besideScheduler returns a configuration that reaches the bucket at once.
func (w *world) besideScheduler() aws.Config {
	cfg := w.aws.Config()
	cfg.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		c, err := newCall(r)
		if err != nil {
			return nil, err
		}
		return w.bucket.do(c).response(r)
	})}
	return cfg
}

type roundTrip func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// notArchived returns the events that the archive lacks.
func (v *monitor) notArchived() (out []storedEvent) {
	if !v.world.plan.Archive {
		return nil
	}
	archived, _ := v.world.bucket.since()
	for stream, versions := range v.stored {
		for version := range versions {
			if _, there := archived[archivedEvent{stream: stream, version: version}]; !there {
				out = append(out, storedEvent{stream: stream, version: version})
			}
		}
	}
	return out
}
