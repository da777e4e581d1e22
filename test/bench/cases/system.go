package cases

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/google/uuid"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/oracle"
	"github.com/leftfold/leftfold/pkg/iam/provision"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/retry"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
	"github.com/leftfold/leftfold/test/bench/measure"
	"github.com/leftfold/leftfold/test/e2e/direct"
	"github.com/leftfold/leftfold/test/e2e/processes"
)

// clients send commands as fast as they go.
const clients = 16

// system is an AWS of its own and services, with the settings that they are shipped with.
type system struct {
	*processes.Fleet

	names  topology.Names
	db     *dynamodb.Client
	log    *dynamostore.Store
	direct direct.Writer
	http   *http.Client
	all    []*processes.Process
	say    func(format string, args ...any)
	doubt  time.Duration // for how long counts stand still until the rows are read
}

// plan says what a system has.
type plan struct {
	env      map[string]string
	aws      map[string]string // of the AWS
	shards   int32             // of Kinesis; 0: as provisioned
	services []string          // nil: none
}

// start starts a system. The caller closes it.
func (b Bench) start(ctx context.Context, p plan) (*system, error) {
	env := map[string]string{"ENVIRONMENT": "local", "AUTH_MODE": "none", "RATE_LIMIT": "0", "STOP_TIMEOUT": "5m"}
	maps.Copy(env, p.env)
	s := &system{say: b.Say, doubt: 10 * time.Second}
	if err := service.LoadConfig(service.Fixed(env), &s.names); err != nil {
		return nil, err
	}
	var err error
	if s.Fleet, err = processes.NewFleet(ctx, b.Programs, env, p.aws); err != nil {
		return nil, err
	}
	s.db, s.http = dynamodb.NewFromConfig(s.Config), s.HTTPClient(s.Fleet)
	s.log = dynamostore.NewStore(s.db, dynamostore.Config{Tables: dynamostore.Tables{
		Events: s.names.EventLog, Claims: s.names.SetValidations, Commands: s.names.Commands,
	}})
	s.direct = direct.NewWriter(s.log)
	err = provision.Run(ctx, s.Config, provision.Config{Names: s.names, StreamShards: p.shards})
	if err == nil {
		err = s.add(ctx, 1, p.services...)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// with starts a system, uses it and closes it.
func (b Bench) with(ctx context.Context, p plan, use func(*system) error) error {
	s, err := b.start(ctx, p)
	if err != nil {
		return err
	}
	return errors.Join(use(s), s.Close())
}

func (s *system) add(ctx context.Context, n int, services ...string) error {
	added, err := s.Add(ctx, n, services...)
	s.all = append(s.all, added...)
	return err
}

// of returns the processes of a service.
func (s *system) of(service string) (found []*processes.Process) {
	for _, p := range s.all {
		if p.Service == service {
			found = append(found, p)
		}
	}
	return found
}

// projectors are the services of the read models.
func (s *system) projectors() (names []string) {
	for _, p := range s.names.Projections() {
		names = append(names, p.Service)
	}
	return names
}

// sum returns a metric, of all processes of a service.
func (s *system) sum(ctx context.Context, service, metric string) (sum float64, err error) {
	for _, p := range s.of(service) {
		m, err := p.Metrics(ctx)
		if err != nil {
			return 0, err
		}
		sum += m[metric]
	}
	return sum, nil
}

// applied returns how many events every read model shows at least.
func (s *system) applied(ctx context.Context) (least float64, err error) {
	var each []float64
	for _, p := range s.projectors() {
		n, err := s.sum(ctx, p, "leftfold_projection_applied_total")
		if err != nil {
			return 0, err
		}
		each = append(each, n)
	}
	return slices.Min(each), nil
}

const look = 20 * time.Millisecond

// shown waits until every read model shows so many events, the whole log.
func (s *system) shown(ctx context.Context, events float64) error {
	_, err := s.await(ctx, events, look, nil)
	return err
}

// await waits until the services have applied so many events, the whole log, and returns when they had. It calls each, if there is one,
// with what they have applied at every look. The services count a write whose answer was lost as a repetition, so when their counts stand
// still the rows are read: they say what is shown. It gives up when nothing comes for a long time.
func (s *system) await(
	ctx context.Context, events float64, every time.Duration, each func(applied float64) error,
) (at time.Time, err error) {
	const patience = 2 * time.Minute
	seen, asked := -1.0, false
	for {
		applied, err := s.applied(ctx)
		if err == nil && each != nil {
			err = each(applied)
		}
		if err != nil {
			return at, err
		}
		if applied != seen {
			seen, at, asked = applied, time.Now(), false
		}
		still := time.Since(at)
		if applied >= events {
			return at, nil
		}
		if still > s.doubt && !asked || still > patience {
			missing, err := s.missing(ctx)
			switch asked = true; {
			case err != nil:
				return at, err
			case missing == "":
				s.say("the services counted %.0f of %.0f events, the rows show all", applied, events)
				return at, nil
			case still > patience:
				return at, fmt.Errorf("the read models stay at %.0f of %.0f events: %s", applied, events, missing)
			}
		}
		if err := retry.Sleep(ctx, every); err != nil {
			return at, err
		}
	}
}

// missing says which read models do not show the whole log. Empty: none.
func (s *system) missing(ctx context.Context) (string, error) {
	fold := oracle.Fold{Heads: map[eventsourcing.StreamID]eventsourcing.Version{}}
	for record, err := range s.log.All(ctx, inParallel) {
		if err != nil {
			return "", err
		}
		fold.Heads[record.Stream] = max(fold.Heads[record.Stream], record.Version)
	}
	models, err := oracle.Models(ctx, s.db, s.names)
	if err != nil {
		return "", err
	}
	var missing []string
	for _, model := range models {
		shown, all, err := fold.Shown(ctx, model)
		if err != nil {
			return "", err
		}
		if shown < all {
			missing = append(missing, fmt.Sprintf("%s shows %d of %d", model.Table, shown, all))
		}
	}
	return strings.Join(missing, ", "), nil
}

// usage is what all calls have used so far.
func (s *system) usage(ctx context.Context) (measure.Usage, error) {
	return measure.ReadUsage(ctx, http.DefaultClient, aws.ToString(s.Config.BaseEndpoint))
}

// effort is what the processes of a service have spent so far.
func (s *system) effort(ctx context.Context, service string) (e measure.Effort, err error) {
	for _, p := range s.of(service) {
		cpu, err := p.CPU()
		if err != nil {
			return e, err
		}
		e.CPU += cpu
	}
	e.Allocations, err = s.sum(ctx, service, "go_memstats_mallocs_total")
	return e, err
}

// receipt is the answer to a command.
type receipt struct {
	ID      string `json:"id"`
	Version int    `json:"version"`
}

// command is a request that is to be accepted.
type command struct {
	method, path string
	body         any
	header       http.Header
}

// send sends a command.
func (s *system) send(ctx context.Context, c command) (r receipt, err error) {
	body, err := json.Marshal(c.body)
	if err != nil {
		return r, err
	}
	text, err := s.ask(ctx, http.StatusAccepted, c.method, c.path, body, c.header)
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(text, &r)
}

// ask sends a request and returns the answer, which is to have a status.
func (s *system) ask(ctx context.Context, status int, method, path string, body []byte, header http.Header) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://leftfold.bench"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	maps.Copy(request.Header, header)
	request.Header.Set("Content-Type", "application/json")
	answer, err := s.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }() // it is read to its end
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != status {
		var problem httpapi.Problem
		_ = json.Unmarshal(text, &problem) // what is none has no code
		err = &refusal{answer.StatusCode, problem.Code, fmt.Sprintf("%s %s: %d %s", method, path, answer.StatusCode, bytes.TrimSpace(text))}
	}
	return text, err
}

// refusal is an answer with another status than the one that is due.
type refusal struct {
	status int
	code   string // of the problem
	text   string
}

func (r *refusal) Error() string { return r.text }

// refused reports whether an error is an answer with that status.
func refused(err error, status int) bool {
	r, ok := errors.AsType[*refusal](err)
	return ok && r.status == status
}

// awaitUser returns when the read model shows a user at a version. As a client does, it asks again as long as the answer is that it does
// not yet, or that there is too much to do.
func (s *system) awaitUser(ctx context.Context, id string, version int) error {
	for {
		_, err := s.ask(ctx, http.StatusOK, http.MethodGet, fmt.Sprintf("/users/%s?min_version=%d&wait=10s", id, version), nil, nil)
		if !refused(err, http.StatusPreconditionFailed) && !refused(err, http.StatusServiceUnavailable) {
			return err
		}
		if err := retry.Sleep(ctx, look); err != nil {
			return err
		}
	}
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

type object = map[string]any

// register is a command that registers a user.
func register(id string) command {
	return command{method: http.MethodPost, path: "/users", body: object{"id": id, "email": id + "@example.com"}}
}

// rename is a command that gives a user another name.
func rename(id string) command {
	return command{method: http.MethodPut, path: "/users/" + id, body: object{"firstName": "Ann", "lastName": letters()}}
}

// letters are a name.
func letters() string {
	text := []byte(uuid.NewString())
	for i, c := range text {
		switch {
		case c >= '0' && c <= '9':
			text[i] = 'g' + c - '0'
		case c == '-':
			text[i] = 'x'
		}
	}
	return string(text)
}

// registered registers that many users and returns their ids.
func (s *system) registered(ctx context.Context, n int) (ids []string, err error) {
	for range n {
		ids = append(ids, newID())
	}
	return ids, s.flat(ctx, n, func(ctx context.Context, i int) error {
		_, err := s.send(ctx, register(ids[i]))
		return err
	})
}
