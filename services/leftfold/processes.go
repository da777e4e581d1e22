package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/user"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/spf13/cobra"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/process"
	"github.com/leftfold/leftfold/pkg/engine/timers"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/processes"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/services/leftfold/internal/output"
)

// processesConfig is what the commands on processes read.
type processesConfig struct {
	topology.EventLogName
	topology.ProcessNames
	topology.SnapshotsName
}

const (
	aboutProcessesList = `Print what processes wait for besides events: a timer, the answer to a command,
or, if they are parked, a retry. One that waits for longer than --stuck after
its time is stuck, and so is one that is parked.

Exit codes: 0 none is stuck, 1 some are, 2 unknown.`

	aboutProcessesShow = `Print a process as its stream says: its state, commands without an answer with
their keys, its timers, why it is parked, and its last events.

Exit codes: 0 shown, 1 there is no such process, 2 trouble.`

	aboutProcessesRetry = `Put the timers of processes and their unanswered commands anew, as their streams
have them, and free those that are parked. The processor handles them within a
minute. With --all it reads the whole log and finds every process that waits,
also after the table of timers was lost.

Exit codes: 0 done, 1 there is none of an id or some cannot be read, 2 trouble.`

	aboutProcessesCancel = `End a process: its timers and the commands without an answer are dropped, and it
hears nothing more. A command that is under way may still take effect. It cannot
be undone: what the process was for is yours to do.

Exit codes: 0 done, 1 there is no such process, 2 trouble.`

	aboutProcessesCatchUp = `Compare what the processes have heard with the whole log, and let them hear what
they missed: what their queue has lost, by a purge or after its retention, or
after a loss of their fences. The processor does it in the background; this
command shows how far it is until it ends, and may be stopped and started again.

Exit codes: 0 caught up, 1 but for holes of the log, 2 trouble.`
)

// newProcesses returns the commands on processes.
func newProcesses(con *console) *cobra.Command {
	variables := awsVariables(&processesConfig{})
	kindAndID := usage(2, 2, "a kind and an id, such as grants 0192…")
	var o processesOptions
	list := con.command("processes list", task{
		use: "list", short: "List what processes wait for", long: aboutProcessesList, variables: variables,
		do: func(ctx context.Context, _ []string) (bool, error) { return con.listProcesses(ctx, o) },
	})
	list.Flags().StringVar(&o.kind, "kind", "", "of this kind only, such as grants")
	list.Flags().DurationVar(&o.stuck, "stuck", 10*time.Minute, "how long one may wait after its time")
	list.Flags().BoolVar(&o.onlyStuck, "only-stuck", false, "leave out all others")
	show := con.command("processes show", task{
		use: "show <kind> <id>", short: "Show a process", long: aboutProcessesShow, variables: variables, args: kindAndID,
		do: func(ctx context.Context, args []string) (bool, error) {
			return con.showProcess(ctx, args[0], args[1], o.events)
		},
	})
	show.Flags().IntVar(&o.events, "events", 10, "how many of its last events")
	retry := con.command("processes retry", task{
		use: "retry <kind> (--all | id...)", short: "Try processes again", long: aboutProcessesRetry, variables: variables,
		args: usage(1, 1<<20, "a kind and ids, or --all"), stopped: continues,
		do: func(ctx context.Context, args []string) (bool, error) {
			if o.all == (len(args) > 1) {
				return false, errors.New("want --all, or the ids of processes")
			}
			return con.retryProcesses(ctx, args[0], args[1:], o)
		},
	})
	retry.Flags().BoolVar(&o.all, "all", false, "every process of the kind that waits")
	retry.Flags().IntVar(&o.parallel, "parallel", 8, "with --all: so many at once")
	cancel := con.command("processes cancel", task{
		use: "cancel <kind> <id>", short: "End a process", long: aboutProcessesCancel, variables: variables, args: kindAndID,
		do: func(ctx context.Context, args []string) (bool, error) {
			return con.cancelProcess(ctx, args[0], args[1], o)
		},
	})
	cancel.Flags().StringVar(&o.reason, "reason", "", "why, for its stream (required)")
	for _, changes := range []*cobra.Command{retry, cancel} {
		changes.Flags().StringVar(&o.actor, "actor", "", "who does it, for its stream (default: your user)")
	}
	catchUp := con.command("processes catch-up", task{
		use: "catch-up", short: "Let processes hear what they missed of the log", long: aboutProcessesCatchUp, variables: adminVariables(),
		do: func(ctx context.Context, _ []string) (bool, error) {
			return con.catchUp(ctx, (topology.Names{}).Processes().Name, o.dryRun)
		},
		stopped: goesOn,
	})
	for _, changes := range []*cobra.Command{retry, cancel, catchUp} {
		changes.Flags().BoolVar(&o.dryRun, "dry-run", false, "only say what would be done")
	}
	return con.operatorsGroup("processes", "Look after the processes", failure("processes"),
		list, show, retry, cancel, con.withAdmins(catchUp))
}

// processesOptions are what the flags of the commands say.
type processesOptions struct {
	kind, reason, actor    string
	stuck                  time.Duration
	onlyStuck, all, dryRun bool
	events, parallel       int
}

// metadata names who changes a process.
func (o processesOptions) metadata() eventsourcing.Metadata {
	if o.actor != "" {
		return eventsourcing.Metadata{Actor: o.actor}
	}
	u, err := user.Current()
	if err != nil {
		return eventsourcing.Metadata{Actor: "operator"}
	}
	return eventsourcing.Metadata{Actor: u.Username}
}

// waitingProcess is what a process waits for, as it is printed.
type waitingProcess struct {
	Kind   string    `json:"kind"`
	ID     string    `json:"id"`
	Timer  string    `json:"timer,omitempty"`
	Parked string    `json:"parked,omitempty"` // why
	Since  time.Time `json:"since"`            // to come for a timer that is not due
	Stuck  bool      `json:"stuck"`
}

func (w waitingProcess) waitsFor() string {
	switch {
	case w.Parked != "":
		return "a retry: " + w.Parked
	case w.Timer != "":
		return "timer " + w.Timer
	default:
		return "answers"
	}
}

// processKinds returns all kinds in the AWS of the environment, and its log.
func processKinds(ctx context.Context) (processes.Kinds, *dynamostore.Store, error) {
	target, n, err := account(ctx)
	if err != nil {
		return nil, nil, err
	}
	db := dynamodb.NewFromConfig(target, func(o *dynamodb.Options) { o.RetryMaxAttempts = auditsAttempts })
	tables := dynamostore.Tables{Events: n.EventLog, Snapshots: n.Snapshots}
	log := dynamostore.NewStore(db, dynamostore.Config{Tables: tables})
	kinds, err := processes.All(log, timers.Table{DB: db, Name: n.Timers}, dynamostore.NewSnapshots(db, tables))
	return kinds, log, err
}

// processKind returns the kind of that name, and the log.
func processKind(ctx context.Context, name string) (processes.Kind, *dynamostore.Store, error) {
	kinds, log, err := processKinds(ctx)
	if err != nil {
		return nil, nil, err
	}
	kind, err := kinds.Named(name)
	return kind, log, err
}

func (con *console) listProcesses(ctx context.Context, o processesOptions) (stuck bool, err error) {
	kinds, _, err := processKinds(ctx)
	if err != nil {
		return false, err
	}
	if o.kind != "" {
		only, err := kinds.Named(o.kind)
		if err != nil {
			return false, err
		}
		kinds = processes.Kinds{only}
	}
	table := con.printer(output.Column{Name: "KIND", Width: 10}, output.Column{Name: "ID", Width: 36},
		output.Column{Name: "SINCE", Width: 20}, output.Column{Name: "STUCK", Width: 5}, output.Column{Name: "WAITS FOR"})
	now, none := time.Now(), true //nolint:forbidigo // for a person who asks
	for _, k := range kinds {
		for found, err := range k.List(ctx) {
			if err != nil && found.ID == "" {
				return stuck, err
			}
			w := waitingProcess{Kind: k.Name(), ID: found.ID, Timer: found.Timer, Parked: found.Parked, Since: found.Since}
			if err != nil {
				w.Parked = "it cannot be read: " + err.Error()
			}
			w.Stuck = w.Parked != "" || now.Sub(w.Since) > o.stuck
			if stuck = stuck || w.Stuck; o.onlyStuck && !w.Stuck {
				continue
			}
			none = false
			table.Row(w, w.Kind, w.ID, w.Since.Format(time.RFC3339), map[bool]string{true: "yes", false: "no"}[w.Stuck], w.waitsFor())
		}
	}
	if none {
		con.say("no process %s", map[bool]string{true: "is stuck", false: "waits for anything but events"}[o.onlyStuck])
	}
	return stuck, nil
}

// shownProcess is a process as it is printed.
type shownProcess struct {
	Kind      string                `json:"kind"`
	ID        string                `json:"id"`
	Version   eventsourcing.Version `json:"version"`
	Cancelled bool                  `json:"cancelled"`
	Parked    *process.Parked       `json:"parked,omitempty"`
	State     any                   `json:"state"`
	Open      []shownCommand        `json:"open"`
	Timers    []process.Timer       `json:"timers"`
	Events    []shownEvent          `json:"events"`
}

type shownCommand struct {
	process.Command

	Key     string    `json:"key"`
	AskedAt time.Time `json:"askedAt"`
}

type shownEvent struct {
	Version    eventsourcing.Version `json:"version"`
	Name       string                `json:"name"`
	RecordedAt time.Time             `json:"recordedAt"`
	Actor      string                `json:"actor"`
	Data       json.RawMessage       `json:"data"`
}

// String has a line for each part.
func (p shownProcess) String() string {
	var text strings.Builder
	line := func(format string, values ...any) { _, _ = fmt.Fprintf(&text, "\n  "+format, values...) }
	_, _ = fmt.Fprintf(&text, "%s %s at version %d", p.Kind, p.ID, p.Version)
	if p.Cancelled {
		text.WriteString(", cancelled")
	}
	if p.Parked != nil {
		line("parked   %s: %s", p.Parked.At.Format(time.RFC3339), p.Parked.Reason)
	}
	state, _ := json.Marshal(p.State) // it was printed before, or is in a snapshot
	line("state    %s", state)
	for _, c := range p.Open {
		line("command  %s %s %s, key %s", c.AskedAt.Format(time.RFC3339), c.Name, c.Data, c.Key)
	}
	for _, t := range p.Timers {
		line("timer    %s %s", t.Due.Format(time.RFC3339), t.Name)
	}
	for _, e := range p.Events {
		line("event %2d %s %s by %s: %s", e.Version, e.RecordedAt.Format(time.RFC3339), e.Name, e.Actor, e.Data)
	}
	return text.String()
}

func (con *console) showProcess(ctx context.Context, kind, id string, events int) (none bool, err error) {
	k, log, err := processKind(ctx, kind)
	if err != nil {
		return false, err
	}
	v, err := k.Show(ctx, id)
	if err != nil {
		return false, err
	}
	if v.Version == 0 {
		con.say("there is no process %s %s", kind, id)
		return true, nil
	}
	shown := shownProcess{
		Kind: kind, ID: id, Version: v.Version, Cancelled: v.Cancelled, State: v.State, Open: []shownCommand{}, Timers: v.Timers,
	}
	if !v.Parked.At.IsZero() {
		shown.Parked = &v.Parked
	}
	for _, o := range v.Open {
		shown.Open = append(shown.Open, shownCommand{o.Command, o.Key, o.AskedAt})
	}
	last := eventsourcing.Version(max(events, 0))
	after := max(v.Version, last) - last
	for r, err := range log.Read(ctx, eventsourcing.StreamID{Category: k.Category(), ID: id}, after) {
		if err != nil {
			return false, err
		}
		name := strings.TrimPrefix(r.Name, k.Category()+"/")
		shown.Events = append(shown.Events, shownEvent{r.Version, name, r.RecordedAt, r.Metadata.Actor, r.Data})
	}
	con.printer().Line(shown, shown.String())
	return false, nil
}

// changedProcess is what became of a process, as it is printed.
type changedProcess struct {
	Kind    string `json:"kind"`
	ID      string `json:"id"`
	Outcome string `json:"outcome"`
}

func (con *console) became(k processes.Kind, id, outcome string) {
	con.printer().Line(changedProcess{k.Name(), id, outcome}, fmt.Sprintf("%s %s: %s", k.Name(), id, outcome))
}

func (con *console) retryProcesses(ctx context.Context, kind string, ids []string, o processesOptions) (some bool, err error) {
	k, _, err := processKind(ctx, kind)
	if err != nil {
		return false, err
	}
	if o.all {
		return con.retryAll(ctx, k, o)
	}
	for _, id := range ids {
		none, err := con.changeProcess(ctx, k, id, "retry", o.dryRun, func() error { return k.Retry(ctx, id, o.metadata()) })
		if err != nil {
			return some, err
		}
		some = some || none
	}
	return some, nil
}

// retryAll retries what waits as the log says.
func (con *console) retryAll(ctx context.Context, k processes.Kind, o processesOptions) (unread bool, err error) {
	if o.parallel < 1 {
		return false, fmt.Errorf("--parallel %d: want at least 1", o.parallel)
	}
	var printing sync.Mutex
	none := true
	err = k.EachWaiting(ctx, o.parallel, func(ctx context.Context, id string, unreadable error) error {
		outcome := "retried"
		switch {
		case unreadable != nil:
			outcome = "it cannot be read: " + unreadable.Error()
		case !o.dryRun:
			if err := k.Retry(ctx, id, o.metadata()); err != nil {
				return err
			}
		}
		printing.Lock()
		defer printing.Unlock()
		none, unread = false, unread || unreadable != nil
		if o.dryRun && unreadable == nil {
			con.plan(planned{Would: "retry " + k.Name() + " " + id})
			return nil
		}
		con.became(k, id, outcome)
		return nil
	})
	if err == nil && none {
		con.say("no process waits for anything but events")
	}
	return unread, err
}

func (con *console) cancelProcess(ctx context.Context, kind, id string, o processesOptions) (none bool, err error) {
	if o.reason == "" {
		return false, errors.New("want --reason: it is kept in the process's stream")
	}
	k, _, err := processKind(ctx, kind)
	if err != nil {
		return false, err
	}
	return con.changeProcess(ctx, k, id, "cancel", o.dryRun, func() error { return k.Cancel(ctx, id, o.reason, o.metadata()) })
}

// changeProcess changes a process, or says what would be done. There is none to be changed if it never was, or is cancelled.
func (con *console) changeProcess(
	ctx context.Context, k processes.Kind, id, what string, dryRun bool, change func() error,
) (none bool, err error) {
	v, err := k.Show(ctx, id)
	switch {
	case err != nil:
		return false, err
	case v.Version == 0:
		con.say("there is no process %s %s", k.Name(), id)
		return true, nil
	case v.Cancelled:
		con.say("process %s %s is cancelled", k.Name(), id)
		return true, nil
	case dryRun:
		con.plan(planned{Would: what + " " + k.Name() + " " + id})
		return false, nil
	}
	if err := change(); err != nil {
		return false, err
	}
	con.became(k, id, map[string]string{"retry": "retried", "cancel": "cancelled"}[what])
	return false, nil
}
