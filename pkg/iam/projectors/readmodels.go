package projectors

import (
	"context"
	"fmt"
	"time"

	"github.com/leftfold/leftfold/pkg/engine/generation"
	"github.com/leftfold/leftfold/pkg/retry"
	"github.com/leftfold/leftfold/pkg/service/adminclient"
)

// Generations are which tables of a projection are read and fed.
type Generations struct {
	Projection string `json:"projection"`
	generation.State
	Table      string `json:"table"`
	OtherTable string `json:"otherTable,omitempty"`
	// Newest is the newest shape of rows that the build writes which was asked.
	Newest     int  `json:"newest"`
	RebuildDue bool `json:"rebuildDue"`
}

func (g Generations) String() string {
	text := fmt.Sprintf("%s: generation %d (%s) is read, %s", g.Projection, g.Current.Number, g.Table, g.Phase)
	if g.Other != nil {
		text += fmt.Sprintf("; the other one is %d (%s)", g.Other.Number, g.OtherTable)
	}
	return text
}

// Run is what the runs of a service in the background have in common. It shows the last one of the process that answers.
type Run struct {
	Projection string     `json:"projection"`
	State      string     `json:"state"`
	StartedAt  *time.Time `json:"startedAt,omitempty"`
	EndedAt    *time.Time `json:"endedAt,omitempty"`
}

// Running reports whether the run is under way.
func (r Run) Running() bool { return r.State == "running" }

// Ended returns an error unless the run has come to its end: it failed, or the process that had it was restarted.
func (r Run) Ended() error {
	if r.State == "never" || r.State == "failed" {
		return fmt.Errorf("the run has ended as %q (the service's log says why, or it was restarted): start it again", r.State)
	}
	return nil
}

// CatchUp is a comparison with the whole log that applies what is missing.
type CatchUp struct {
	Run
	Records int64 `json:"records"`
	Behind  int64 `json:"behind"`
	Applied int64 `json:"applied"`
	Parked  int64 `json:"parked"`
	Holes   int64 `json:"holes"`
}

// Audit is a comparison of the read model with the log.
type Audit struct {
	Run
	Requested   bool     `json:"requested"`
	Repair      bool     `json:"repair"`
	Streams     int      `json:"streams"`
	Rows        int      `json:"rows"`
	Differences int      `json:"differences"`
	Repaired    int      `json:"repaired"`
	Undecided   int      `json:"undecided"`
	Findings    []string `json:"findings"`
}

// Step is a step between generations.
type Step struct {
	Run
	Step     generation.Step  `json:"step,omitempty"`
	Doing    generation.Doing `json:"doing,omitempty"`
	Events   int64            `json:"events"`
	Fresh    int64            `json:"fresh"`
	Expected int64            `json:"expected"`
	Streams  int64            `json:"streams"`
	Rows     int64            `json:"rows"`
	// Phase is what the step has led to.
	Phase   generation.Phase `json:"phase,omitempty"`
	Problem string           `json:"problem,omitempty"`
}

// CatchUpPath is where the service of a projection catches up with the log, and shows that. So are those below.
func CatchUpPath(projection string) string { return "/projections/" + projection + "/catch-up" }

// AuditPath is where the read model is compared with the log.
func AuditPath(projection string) string { return "/projections/" + projection + "/audit" }

// GenerationsPath is where the generations are shown, and below which the steps are begun.
func GenerationsPath(projection string) string { return "/projections/" + projection + "/generations" }

// lookAgain is the pause between two questions about a run.
const lookAgain = 500 * time.Millisecond

// Follow sends a POST to begin and asks at look until what it began has ended. so is called with what is known meanwhile.
func Follow[R interface{ Running() bool }](ctx context.Context, client *adminclient.Client, begin, look string, so func(R)) (R, error) {
	var run R
	err := client.Post(ctx, begin, &run)
	for err == nil && run.Running() {
		so(run)
		if err := retry.Sleep(ctx, lookAgain); err != nil {
			return run, err
		}
		var now R
		_, err = client.Get(ctx, look, &now)
		run = now
	}
	return run, err
}
