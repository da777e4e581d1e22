package simulation

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/uuid"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/oracle"
	"github.com/leftfold/leftfold/pkg/iam/processes/retirement"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

// ofProcess reports whether a stream, or a category, is that of a process.
func ofProcess(stream string) bool { return strings.HasPrefix(stream, "org/iam/process/") }

// peers carries a process's requests to the replicas of other services. Some are lost, and so are some answers.
type peers struct{ life *life }

// correlationOf is the correlation ID that a process's request gets on its way, by which the judge knows what it wrote.
func correlationOf(key string) string {
	return "process-" + uuid.NewSHA1(uuid.NameSpaceOID, []byte(key)).String()
}

var errLost = errors.New("connection reset")

// RoundTrip implements http.RoundTripper.
func (p *peers) RoundTrip(r *http.Request) (*http.Response, error) {
	w, key := p.life.replica.world, r.Header.Get("Idempotency-Key")
	draw := func(what string, n int) int {
		return int(w.jitter(fmt.Sprint(p.life.instance, r.Method, r.URL, key, what), time.Duration(n-1)))
	}
	time.Sleep(time.Millisecond + time.Duration(draw("latency", int(5*time.Millisecond))))
	replicas := w.of(topology.ServiceFor(r.Method, r.URL.Path))
	r = r.Clone(r.Context())
	if key != "" {
		r.Header.Set(httpapi.CorrelationHeader, correlationOf(key))
		w.ledger.derive(key, r)
	}
	lost := !w.quiet.Load() && draw("fate", 20) == 0
	if p.life.dead() || len(replicas) == 0 || lost && draw("when", 2) == 0 {
		return nil, errLost
	}
	res, err := replicas[draw("replica", len(replicas))].RoundTrip(r)
	if p.life.dead() || lost {
		return nil, errLost
	}
	return res, err
}

// derive records a command that a process sends.
func (l *ledger) derive(key string, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.derived[key] == nil {
		l.derived[key] = &command{id: correlationOf(key), request: request{method: r.Method, path: r.URL.Path}}
	}
	l.derived[key].sends++
}

// derived checks that each command of a process took effect at most once, and only after the process's event that asks for it.
func (j *judgement) derived() {
	for key, c := range j.ledger.derived {
		found := j.byCommand[c.id]
		delete(j.byCommand, c.id)
		if len(found) == 0 {
			continue
		}
		slices.SortFunc(found, func(a, b eventsourcing.Record) int { return cmp.Compare(a.Version, b.Version) })
		stream := found[0].Stream.String()
		if j.commitOf(found[0]) != j.commitOf(found[len(found)-1]) {
			j.breach("process", stream, "%s took effect %d times", c, len(found))
		}
		if asked := j.askedAt(key); asked.IsZero() || asked.After(j.commitOf(found[0])) {
			j.breach("process", stream, "%s took effect before its process had asked for it", c)
		}
	}
}

// askedAt returns when the event was committed that a key names, such as org/iam/process/grants/<user>/4#1.
func (j *judgement) askedAt(key string) time.Time {
	key, _, _ = strings.Cut(key, "#")
	at := strings.LastIndexByte(key, '/')
	version, err := strconv.ParseUint(key[at+1:], 10, 64)
	if err != nil {
		return time.Time{}
	}
	return j.commitOf(eventsourcing.Record{ID: j.monitor.stored[key[:at]][eventsourcing.Version(version)]})
}

// loseFences empties the table that says how far the processes have heard each stream, by an operation that no service uses.
func (w *world) loseFences() {
	done := make(chan struct{})
	w.scheduler.post(func() { // no call has an effect meanwhile
		defer close(done)
		for fences := range slices.Chunk(w.items(w.names.Heard), 25) {
			var requests []types.WriteRequest
			for _, f := range fences {
				key := item{"id": f["id"], "row": f["row"]}
				requests = append(requests, types.WriteRequest{DeleteRequest: &types.DeleteRequest{Key: key}})
			}
			_, err := w.db.BatchWriteItem(w.ctx, &dynamodb.BatchWriteItemInput{
				RequestItems: map[string][]types.WriteRequest{w.names.Heard: requests},
			})
			must(err)
			w.report.FencesLost += len(requests)
		}
	})
	<-done
}

// heard checks that no process heard an event twice: what an event led to in a process's stream was one commit.
func (j *judgement) heard() {
	commits, heard := map[string]time.Time{}, map[[2]string]time.Time{} // by event, and by process and event that it heard
	for _, made := range j.monitor.commits {
		for _, e := range made.events {
			commits[e.id] = made.at
		}
	}
	pages := map[string]int{} // of a retirement
	for rec, err := range j.world.log.All(j.ctx, 1) {
		if err == nil && rec.Name == (retirement.Revoked{}).EventName() {
			pages[rec.Stream.ID]++
			j.report.Pages = max(j.report.Pages, pages[rec.Stream.ID])
		}
		if err != nil || !ofProcess(rec.Stream.Category) || rec.Metadata.CausationID == "" {
			continue
		}
		stream, cause := rec.Stream.String(), rec.Metadata.CausationID
		at, again := heard[[2]string{stream, cause}]
		if heard[[2]string{stream, cause}] = commits[rec.ID]; again && !at.Equal(commits[rec.ID]) {
			j.breach("process", stream, "%s heard event %s twice", stream, cause)
		}
	}
}

// processes checks that the processes have come to their ends.
func (j *judgement) processes() {
	for _, what := range j.unfinished() {
		j.breach("process", "", "%s, after %v of calm", what, settleWithin)
	}
}

// unfinished returns what the processes still have to do: grants to end, roles to take from everybody, timers and commands.
func (w *world) unfinished() (out []string) {
	if w.replacing() {
		return nil
	}
	for _, timer := range w.items(w.names.Timers) {
		out = append(out, fmt.Sprintf("%s waits for %q", textOf(timer, "stream"), textOf(timer, "name")))
	}
	fold, err := oracle.FoldLog(w.ctx, healthy{w})
	if err != nil {
		return append(out, err.Error())
	}
	for id, u := range fold.Users {
		for _, g := range u.Roles {
			if !g.Until.IsZero() {
				out = append(out, fmt.Sprintf("user %s holds %s, which ends at %v", id, g.RoleID, g.Until))
			}
		}
	}
	for id, r := range fold.Roles {
		if r.Retiring {
			out = append(out, fmt.Sprintf("role %s is being retired", id))
		}
	}
	slices.Sort(out)
	return out
}
