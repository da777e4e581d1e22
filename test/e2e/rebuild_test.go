package e2e_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/generation"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/iam/provision"
	"github.com/leftfold/leftfold/pkg/waittest"
	"github.com/leftfold/leftfold/services/leftfold/app"
	"github.com/leftfold/leftfold/test/e2e/processes"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// mortal is an operator's connection to AWS that is cut for good after a number of calls, as when its process is killed.
type mortal struct {
	next http.RoundTripper
	left atomic.Int64
}

func (m *mortal) RoundTrip(r *http.Request) (*http.Response, error) {
	if m.left.Add(-1) < 0 {
		return nil, processes.ErrDown
	}
	return m.next.RoundTrip(r)
}

// operatorFor returns an operator of the users projection that is killed after that many calls.
func operatorFor(sys *systemtest.System, calls int64) *generation.Operator {
	life := &mortal{next: sys.AWS.Transport()}
	life.left.Store(calls)
	target := sys.AWS.Config()
	target.HTTPClient, target.RetryMaxAttempts = &http.Client{Transport: life}, 1
	db := dynamodb.NewFromConfig(target)
	log := dynamostore.NewStore(db, dynamostore.Config{Tables: dynamostore.Tables{Events: sys.Names.EventLog}})
	return generation.NewOperator(generation.OperatorConfig{
		Config: generation.Config{
			Projection: projection.Config{Name: "users", Table: sys.Names.Users, DB: db, EventLog: log, Now: time.Now},
			Shapes:     app.Shapes()["users"], States: sys.Names.Generations,
		},
		DB: db, Log: log, EventLog: sys.Names.EventLog, Segments: 2,
	})
}

// TestARebuildIsNotNoticed rebuilds the users, moves reads there and back and ends it, under commands and reads. The operator is killed
// again and again in each step, and another one continues.
func TestARebuildIsNotNoticed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sys := systemtest.New(t, map[string]string{"STREAM_POLL": "200ms"})
		tr := newTraffic(sys.Client, 60, 4)
		tr.between = func(int) { time.Sleep(time.Second) }
		watch := &readers{client: sys.Client, users: tr.users, between: func() { time.Sleep(300 * time.Millisecond) }}
		beside(t, tr, watch, func() {
			for _, step := range []struct {
				name    string
				do      func(*generation.Operator, context.Context) (generation.State, error)
				current int
			}{
				{"rebuild", (*generation.Operator).Rebuild, 1},
				{"switch", (*generation.Operator).Switch, 2},
				{"rollback", (*generation.Operator).Rollback, 1},
				{"retire", (*generation.Operator).Retire, 1},
			} {
				killed := 0
				for calls := int64(2); ; calls *= 2 {
					s, err := step.do(operatorFor(sys, calls), t.Context())
					if err == nil {
						assert.Equal(t, step.current, s.Current.Number, step.name)
						break
					}
					require.ErrorIs(t, err, processes.ErrDown, step.name)
					killed++
				}
				assert.Positive(t, killed, "%s was never killed", step.name)
			}
		})
		_, err := sys.Audit(t.Context())
		require.NoError(t, err)
		tables, err := sys.DB.ListTables(t.Context(), &dynamodb.ListTablesInput{})
		require.NoError(t, err)
		assert.NotContains(t, tables.TableNames, sys.Names.Users+"-g2")
	})
}

// beside runs f beside commands and reads, of which none may notice it.
func beside(t *testing.T, tr *traffic, watch *readers, f func()) {
	t.Helper()
	const clients, count = 4, 3
	stop := make(chan struct{})
	var load sync.WaitGroup
	load.Go(func() { tr.sendUntil(t.Context(), t, clients, stop) })
	load.Go(func() { watch.run(t.Context(), count, stop) })
	func() {
		defer load.Wait()
		defer close(stop)
		f()
	}()
	watch.assertNothingSeen(t)
}

// usersFile is where the shapes of the users projection are.
const usersFile = "services/projector-user/internal/users/users.go"

// laterUsers is the users projection of a later build, whose rows have one attribute more.
func laterUsers(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, usersFile))
	require.NoError(t, err)
	const shapes = "return []generation.Shape{{Number: 1, Sources: sources()}}"
	require.Equal(t, 1, strings.Count(string(text), shapes), "%s has other shapes: let this test add the next", usersFile)
	return strings.Replace(string(text), shapes,
		"return []generation.Shape{{Number: 1, Sources: sources()}, {Number: 2, Sources: laterSources()}}", 1) + `
type laterRow struct {
	userRow
	Initial string ` + "`dynamodbav:\"initial\"`" + `
}

func laterSources() []projection.Source {
	return []projection.Source{
		projection.NewSource(projection.Spec[laterRow, user.Event]{
			Category: user.Category, Row: userRowName, Codec: user.NewCodec(), Listed: true,
			Fold: func(row laterRow, event user.Event, rec eventsourcing.Record) laterRow {
				row.userRow = foldUser(row.userRow, event, rec)
				row.Initial = string(row.Email[0])
				return row
			},
		}),
		sources()[1],
	}
}
`
}

// shown is what a process answers about the generations of the users.
type shown struct {
	Phase      string `json:"phase"`
	Newest     int    `json:"newest"`
	RebuildDue bool   `json:"rebuildDue"`
	Unknown    []int  `json:"unknown"`
}

func generationsOf(t *testing.T, p *processes.Process) shown {
	t.Helper()
	answer, err := systemtest.Client{HTTP: http.DefaultClient, Base: p.AdminAddress()}.Do(t.Context(),
		systemtest.Request{Method: http.MethodGet, Path: "/projections/users/generations"})
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, answer.Status, "%s", answer.Body)
	s, err := systemtest.Decode[shown](answer)
	require.NoError(t, err)
	return s
}

// TestTwoBuildsOfDifferentRowsRunSideBySide upgrades projector-user, under commands and reads, to a build whose rows have another shape,
// and back. The builds are programs of their own, each with its leftfold.
func TestTwoBuildsOfDifferentRowsRunSideBySide(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("make test-race compiles another build and runs it beside this one")
	}
	earlier, later := programs(t), t.TempDir()
	file := filepath.Join(root, usersFile)
	require.NoError(t, processes.BuildChanged(t.Context(), later, file, laterUsers(t), "projector-user", "leftfold"))
	fleet := systemtest.NewFleet(t, earlier, map[string]string{
		"ENVIRONMENT": "local", "AUTH_MODE": "none", "RATE_LIMIT": "0", "STREAM_POLL": "50ms", "STOP_TIMEOUT": "5m",
	})
	require.NoError(t, provision.Run(t.Context(), fleet.Config, provision.Config{Names: fleet.Names}))
	fleet.Add(1, "command-api", "streamer", "broker", "projector-role", "projector-audit")
	old := fleet.Add(1, "projector-user")[0]
	leftfold := func(of string, code int, args ...string) string {
		t.Helper()
		done := fleet.Leftfold(of, append([]string{"projections"}, args...)...).Wait()
		require.Equal(t, code, done.Code, "%s: %s%s", args, done.Out, done.Errors)
		return done.Out
	}

	tr := newTraffic(fleet.Client, 100, 10)
	tr.between = func(int) { time.Sleep(20 * time.Millisecond) }
	watch := &readers{client: fleet.Client, users: tr.users, between: func() { time.Sleep(5 * time.Millisecond) }}
	beside(t, tr, watch, func() {
		assert.Equal(t, shown{Phase: "settled", Newest: 1}, generationsOf(t, old))
		newer := fleet.AddOf(later, 1, "projector-user")[0]
		is := generationsOf(t, newer)
		assert.Equal(t, shown{Phase: "settled", Newest: 2, RebuildDue: true}, is, "it serves the old rows, and says what is due")
		leftfold(earlier, 0, "list")
		assert.Regexp(t, `(?m)^users .* shape 2$`, leftfold(later, 1, "list"))

		first := fleet.Leftfold(later, "projections", "rebuild", "users", "--rate", "5")
		phase := func(want string) {
			t.Helper()
			waittest.Until(t, "users are "+want, func() (any, bool) {
				is := generationsOf(t, newer)
				return is, is.Phase == want
			})
		}
		phase("filling")
		waittest.Until(t, "the earlier build leaves the events to the later one", func() (any, bool) {
			is := generationsOf(t, old)
			return is, len(is.Unknown) == 1
		})
		first.Kill()
		assert.Contains(t, leftfold(later, 0, "rebuild", "users"), "ready", "it goes on")
		for _, half := range []*processes.Process{old, newer} { // of the deployment
			answer, err := systemtest.Client{HTTP: http.DefaultClient, Base: half.APIAddress()}.Do(t.Context(),
				systemtest.Request{Method: http.MethodGet, Path: "/users?limit=100"})
			require.NoError(t, err)
			assert.Equal(t, http.StatusOK, answer.Status, "%s", answer.Body)
		}
		refused := fleet.Leftfold(earlier, "projections", "switch", "users").Wait()
		assert.Contains(t, refused.Errors, "a shape that this build does not know")

		require.NoError(t, old.Stop())
		leftfold(later, 0, "switch", "users")
		assertRowsHave(t, fleet, "initial")
		leftfold(later, 0, "rollback", "users")
		require.NoError(t, old.Start(t.Context())) // the deployment is rolled back
		leftfold(later, 0, "retire", "users")
		phase("settled")
		require.NoError(t, newer.Stop())
	})
	_, err := fleet.Audit(t.Context())
	require.NoError(t, err)
}

// assertRowsHave asserts that rows of the second generation have the attribute.
func assertRowsHave(t *testing.T, fleet *systemtest.Fleet, attribute string) {
	t.Helper()
	items, err := fleet.Items(t.Context(), fleet.Names.Users+"-g2")
	require.NoError(t, err)
	with := 0
	for _, item := range items {
		if item[attribute] != nil {
			with++
		}
	}
	assert.Positive(t, with, "of %d rows", len(items))
}
