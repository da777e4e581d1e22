package scopesaudit_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/scopesaudit"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/pkg/retry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stage is a command side and its tables.
type stage struct {
	*testing.T
	client *dynamodb.Client
	store  *dynamostore.Store
	users  *eventsourcing.Repository[user.State, user.Event]
	roles  *eventsourcing.Repository[role.State, role.Event]
}

func newStage(t *testing.T) *stage {
	t.Helper()
	server := localaws.New(localaws.Options{})
	t.Cleanup(server.Close)
	s := &stage{T: t, client: dynamodb.NewFromConfig(server.Config())}
	for _, table := range (dynamostore.Tables{}).CreateTableInputs() {
		_, err := s.client.CreateTable(t.Context(), table)
		require.NoError(t, err)
	}
	s.store = dynamostore.NewStore(s.client, dynamostore.Config{})
	var err error
	s.users, err = eventsourcing.NewRepository(eventsourcing.Config[user.State, user.Event]{Aggregate: user.Aggregate(), Store: s.store})
	require.NoError(t, err)
	s.roles, err = eventsourcing.NewRepository(eventsourcing.Config[role.State, role.Event]{Aggregate: role.Aggregate(), Store: s.store})
	require.NoError(t, err)
	return s
}

func (s *stage) user(id string, c eventsourcing.Command[user.State, user.Event]) {
	s.Helper()
	_, err := s.users.Do(s.Context(), id, c)
	require.NoError(s, err)
}

func grant(roleID string) user.AddRole {
	return user.AddRole{Role: user.Grantable{ID: user.RoleID(roleID), Exists: true, Enabled: true}}
}

// crowd makes two roles and ten users who hold the first; three of them are disabled, and one of those lost it.
func (s *stage) crowd() {
	s.Helper()
	for _, id := range []string{"a", "b"} {
		_, err := s.roles.Do(s.Context(), id, role.Create{ID: role.ID(id), Name: role.Name("role-" + id)})
		require.NoError(s, err)
	}
	for n := range 10 {
		id := fmt.Sprint("u", n)
		s.user(id, user.Register{ID: user.ID(id), Email: user.Email(id + "@example.com")})
		s.user(id, grant("a"))
		if n < 3 {
			s.user(id, user.Disable{})
		}
	}
	s.user("u0", user.RemoveRole{RoleID: "a"})
}

const all, none = "complete 1, holders 7, seats 9", "complete 1"

// audited returns what an audit found.
func (s *stage) audited(set ...func(*scopesaudit.Config)) (scopesaudit.Result, []string) {
	s.Helper()
	lines := []string{}
	c := scopesaudit.Config{
		Scopes:       dynamostore.NewScopes(s.client, dynamostore.Config{}),
		Categories:   []scopesaudit.Category{scopesaudit.NewCategory(user.Aggregate()), scopesaudit.NewCategory(role.Aggregate())},
		OnDifference: func(d scopesaudit.Difference) { lines = append(lines, d.String()) },
		Backoff:      retry.Backoff{First: time.Millisecond, Max: time.Millisecond},
	}
	for _, f := range set {
		f(&c)
	}
	r, err := scopesaudit.Run(s.Context(), c)
	require.NoError(s, err)
	slices.Sort(lines)
	return r, lines
}

func repairing(c *scopesaudit.Config) { c.Repair = true }

func number(n int) types.AttributeValue { return &types.AttributeValueMemberN{Value: fmt.Sprint(n)} }

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func (s *stage) plant(key string, item map[string]types.AttributeValue) {
	s.Helper()
	if item == nil {
		_, err := s.client.DeleteItem(s.Context(), &dynamodb.DeleteItemInput{
			TableName: aws.String("scopes"), Key: map[string]types.AttributeValue{"scope": text(key)},
		})
		require.NoError(s, err)
		return
	}
	item["scope"] = text(key)
	_, err := s.client.PutItem(s.Context(), &dynamodb.PutItemInput{TableName: aws.String("scopes"), Item: item})
	require.NoError(s, err)
}

func TestATableThatEqualsTheLogHasNoDifferences(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	r, lines := s.audited()
	assert.Empty(t, lines)
	assert.Equal(t, scopesaudit.Result{}, r, "an empty system")
	s.crowd()
	r, lines = s.audited()
	assert.Empty(t, lines)
	assert.Equal(t, scopesaudit.Result{Streams: 12, Scopes: 2}, r)
}

func TestEachDifferenceIsFoundAndRepaired(t *testing.T) {
	t.Parallel()
	const a = "org/iam/role/a#members"
	type row = map[string]types.AttributeValue
	for name, tt := range map[string]struct {
		row  row // nil: it is deleted
		key  string
		want string
	}{
		"the row is lost": {nil, a, "missing: " + a + ": the streams share " + all + ", the table nothing"},
		"a commit was not counted": {
			row{"version": number(14), "count.complete": number(1), "count.holders": number(8), "count.seats": number(9)},
			a,
			"wrong: " + a + ": the streams share " + all + ", the table complete 1, holders 8, seats 9",
		},
		"a role of a former build": {
			row{"version": number(1), "count.seats": number(-1)},
			a,
			"wrong: " + a + ": the streams share " + all + ", the table seats -1",
		},
		"nothing shares in it": {
			row{"version": number(3), "count.n": number(2)}, "x#y", "wrong: x#y: the streams share nothing, the table n 2",
		},
		"no version": {
			row{"count.complete": number(1), "count.holders": number(6), "count.seats": number(9)},
			a,
			"wrong: " + a + ": the streams share " + all + ", the table complete 1, holders 6, seats 9",
		},
		"a counter of text": {
			row{"version": number(3), "count.seats": text("9")}, a, "damaged: " + a + ": the row is none that a commit writes",
		},
		"a version of text": {row{"version": text("3")}, a, "damaged: " + a + ": the row is none that a commit writes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.crowd()
			s.plant(tt.key, tt.row)
			r, lines := s.audited()
			assert.Equal(t, []string{tt.want}, lines)
			assert.False(t, r.Equal())
			r, lines = s.audited(repairing)
			assert.Equal(t, []string{tt.want + ": repaired"}, lines)
			assert.True(t, r.Equal())
			r, lines = s.audited()
			assert.Empty(t, lines)
			assert.True(t, r.Equal())
			s.user("u5", user.Disable{}) // and what comes then is counted on
			_, lines = s.audited()
			assert.Empty(t, lines)
		})
	}
}

// A repair never lets a version come again: what was decided on the row before it is refused.
func TestARepairMovesTheScope(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.crowd()
	scope := eventsourcing.Scope{Subject: "org/iam/role/b", Name: "members"}
	s.plant(scope.Key(), map[string]types.AttributeValue{"version": number(7), "count.seats": number(5)})
	s.audited(repairing)
	states, err := s.store.Scopes(t.Context(), []eventsourcing.Scope{scope})
	require.NoError(t, err)
	assert.Equal(t, eventsourcing.ScopeState{Version: 8, Counters: map[string]int64{"complete": 1}}, states[scope])
}

func TestARowThatNamesNoScopeIsReported(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.plant("secret", map[string]types.AttributeValue{"version": number(1)})
	r, lines := s.audited(repairing)
	assert.Equal(t, []string{"damaged: a row: its key is not that of a scope; delete it"}, lines)
	assert.False(t, r.Equal())
}

func TestNothingIsRepairedBesideAStreamThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		stream  string
		version int
		event   string
		want    string
	}{
		"an unknown event": {
			"org/iam/user/u9", 3, "org/iam/user/teleported",
			"illegible: org/iam/user/u9: version 3 cannot be decoded as org/iam/user/teleported",
		},
		"a hole": {
			"org/iam/user/u9", 4, "org/iam/user/disabled", "hole: org/iam/user/u9: log lacks an event: version 4 follows 2",
		},
		"another category": {
			"org/iam/group/g", 1, "org/iam/group/formed", "illegible: org/iam/group/g: its category is not known to this program",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.crowd()
			s.write(tt.stream, tt.version, tt.event)
			s.plant("org/iam/role/b#members", nil)
			r, lines := s.audited(repairing)
			assert.Contains(t, lines, tt.want)
			assert.Contains(t, lines, "missing: org/iam/role/b#members: the streams share "+none+", the table nothing")
			assert.Zero(t, r.Repaired)
			assert.False(t, r.Equal())
		})
	}
}

// write writes an event, or what looks like one, past the store.
func (s *stage) write(stream string, version int, name string) {
	s.Helper()
	_, err := s.client.PutItem(s.Context(), &dynamodb.PutItemInput{TableName: aws.String("EventLog"), Item: map[string]types.AttributeValue{
		"stream": text(stream), "version": number(version), "id": text("planted"), "name": text(name), "schema": number(1),
		"data": text("{}"), "recorded_at": text("2026-03-01T12:00:00.000Z"),
	}})
	require.NoError(s, err)
}

// stepping calls between before the nth call of an operation.
type stepping struct {
	*dynamodb.Client
	between func(operation string, n int)
	scans   atomic.Int64
	puts    atomic.Int64
}

func (c *stepping) Scan(ctx context.Context, in *dynamodb.ScanInput, with ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error) {
	if *in.TableName == "scopes" {
		c.between("Scan", int(c.scans.Add(1)))
	}
	return c.Client.Scan(ctx, in, with...)
}

func (c *stepping) PutItem(
	ctx context.Context, in *dynamodb.PutItemInput, with ...func(*dynamodb.Options),
) (*dynamodb.PutItemOutput, error) {
	if *in.TableName == "scopes" {
		c.between("PutItem", int(c.puts.Add(1)))
	}
	return c.Client.PutItem(ctx, in, with...)
}

func through(client *stepping) func(*scopesaudit.Config) {
	return func(c *scopesaudit.Config) { c.Scopes = dynamostore.NewScopes(client, dynamostore.Config{}) }
}

// A scope that moves while the log is added up is judged in a later round.
func TestAMovingScopeIsNoDifference(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.crowd()
	client := &stepping{Client: s.client, between: func(operation string, n int) {
		if operation == "Scan" && n == 2 { // the sums are made
			s.user("u5", user.Disable{})
		}
	}}
	r, lines := s.audited(through(client))
	assert.Empty(t, lines)
	assert.True(t, r.Equal())
	assert.Equal(t, int64(4), client.scans.Load(), "two rounds")
}

func TestAScopeThatNeverStandsStillIsUndecided(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.crowd()
	s.plant("org/iam/role/b#members", nil)
	client := &stepping{Client: s.client, between: func(operation string, n int) {
		switch {
		case operation != "Scan" || n%2 == 1:
		case n%4 == 0:
			s.user("u5", user.Disable{})
		default:
			s.user("u5", user.Enable{})
		}
	}}
	s.user("u5", user.Disable{})
	r, lines := s.audited(through(client), repairing, func(c *scopesaudit.Config) { c.MaxRounds = 3 })
	assert.Len(t, lines, 1, "the other one is repaired: %v", lines)
	assert.Equal(t, 1, r.Undecided)
	assert.False(t, r.Equal())
}

func TestARepairYieldsToACommand(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.crowd()
	s.plant("org/iam/role/a#members", map[string]types.AttributeValue{"version": number(40)})
	client := &stepping{Client: s.client, between: func(operation string, n int) {
		if operation == "PutItem" && n == 1 {
			s.user("u5", user.Disable{})
		}
	}}
	r, lines := s.audited(through(client), repairing)
	assert.True(t, r.Equal())
	assert.Equal(t, []string{
		"wrong: org/iam/role/a#members: the streams share complete 1, holders 6, seats 9, the table holders -1: repaired",
	}, lines)
	_, lines = s.audited()
	assert.Empty(t, lines)
}

// Audits that repair run beside commands; in the end the table is that of the log.
func TestRepairsRaceWithCommands(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.crowd()
	s.plant("org/iam/role/a#members", nil)
	var commands sync.WaitGroup
	for n := range 10 {
		commands.Go(func() {
			for range 3 {
				for _, c := range []eventsourcing.Command[user.State, user.Event]{
					user.Disable{}, user.Enable{}, grant("b"), user.RemoveRole{RoleID: "b"},
				} {
					_, _ = s.users.Do(s.Context(), fmt.Sprint("u", n), c) // refused, or not
				}
			}
		})
	}
	for range 3 {
		_, lines := s.audited(repairing)
		for _, line := range lines {
			assert.True(t, strings.HasPrefix(line, "missing: org/iam/role/a#") || strings.HasPrefix(line, "wrong: org/iam/role/a#"), line)
		}
	}
	commands.Wait()
	r, _ := s.audited(repairing)
	require.True(t, r.Equal())
	_, lines := s.audited()
	assert.Empty(t, lines)
}
