package claimsaudit_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/engine/claimsaudit"
	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/pkg/retry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tb is what *testing.T and *rapid.T have in common.
type tb interface {
	require.TestingT
	Helper()
	Context() context.Context
}

// stage is a command side and its tables.
type stage struct {
	t      tb
	server *localaws.Server
	client *dynamodb.Client
	store  *dynamostore.Store
	users  *eventsourcing.Repository[user.State, user.Event]
	roles  *eventsourcing.Repository[role.State, role.Event]
	ids    atomic.Int64
}

func newStage(t tb) *stage {
	t.Helper()
	s := &stage{t: t, server: localaws.New(localaws.Options{})}
	s.client = dynamodb.NewFromConfig(s.server.Config())
	for _, table := range (dynamostore.Tables{}).CreateTableInputs() {
		_, err := s.client.CreateTable(t.Context(), table)
		require.NoError(t, err)
	}
	s.store = dynamostore.NewStore(s.client, dynamostore.Config{})
	newID := func() string { return fmt.Sprintf("event-%d", s.ids.Add(1)) }
	var err error
	s.users, err = eventsourcing.NewRepository(eventsourcing.Config[user.State, user.Event]{
		Aggregate: user.Aggregate(), Store: s.store, NewID: newID,
		Cache: eventsourcing.NewCache[user.State](100),
	})
	require.NoError(t, err)
	s.roles, err = eventsourcing.NewRepository(eventsourcing.Config[role.State, role.Event]{
		Aggregate: role.Aggregate(), Store: s.store, NewID: newID,
		Cache: eventsourcing.NewCache[role.State](100),
	})
	require.NoError(t, err)
	return s
}

// user sends a command to a user.
func (s *stage) user(id string, d eventsourcing.Command[user.State, user.Event]) error {
	_, err := s.users.Do(s.t.Context(), id, d)
	return err
}

// role sends a command to a role.
func (s *stage) role(id string, d eventsourcing.Command[role.State, role.Event]) error {
	_, err := s.roles.Do(s.t.Context(), id, d)
	return err
}

// registered makes a user with the address of that name.
func (s *stage) registered(id, name string) {
	s.t.Helper()
	require.NoError(s.t, s.user(id, user.Register{ID: user.ID(id), Email: email(name)}))
}

func email(name string) user.Email { return user.Email(name + secret) }

// secret is part of every value, so that tests find a value that is shown.
const secret = "@secret.example"

func key(name string) string { return "org/iam/user#email:" + name + secret }

func userStream(id string) string { return user.Category + "/" + id }

// write appends an event without a command.
func (s *stage) write(stream string, version eventsourcing.Version, name, data string) {
	s.t.Helper()
	id, err := eventsourcing.ParseStreamID(stream)
	require.NoError(s.t, err)
	require.NoError(s.t, s.store.Append(s.t.Context(), eventsourcing.Commit{
		Stream: id, Expected: version - 1, Records: []eventsourcing.Record{{
			ID: fmt.Sprintf("event-%d", s.ids.Add(1)), Stream: id, Version: version, Name: name, Schema: 1,
			Data: json.RawMessage(data), RecordedAt: time.Now(),
		}},
	}))
}

// plant puts a row into the claims table directly, without an owner if it is nil.
func (s *stage) plant(key string, owner types.AttributeValue) {
	s.t.Helper()
	item := map[string]types.AttributeValue{"constraint": text(key)}
	if owner != nil {
		item["stream"] = owner
	}
	_, err := s.client.PutItem(s.t.Context(), &dynamodb.PutItemInput{TableName: aws.String("set-validations"), Item: item})
	require.NoError(s.t, err)
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

// lose deletes a row of the claims table directly.
func (s *stage) lose(key string) {
	s.t.Helper()
	_, err := s.client.DeleteItem(s.t.Context(), &dynamodb.DeleteItemInput{
		TableName: aws.String("set-validations"), Key: map[string]types.AttributeValue{"constraint": text(key)},
	})
	require.NoError(s.t, err)
}

// forget deletes an event of the log directly.
func (s *stage) forget(stream string, version int) {
	s.t.Helper()
	_, err := s.client.DeleteItem(s.t.Context(), &dynamodb.DeleteItemInput{
		TableName: aws.String("EventLog"), Key: map[string]types.AttributeValue{
			"stream": text(stream), "version": &types.AttributeValueMemberN{Value: fmt.Sprint(version)},
		},
	})
	require.NoError(s.t, err)
}

// table is the claims table: owners by key.
func (s *stage) table() map[string]string {
	s.t.Helper()
	out, err := s.client.Scan(s.t.Context(), &dynamodb.ScanInput{TableName: aws.String("set-validations"), ConsistentRead: aws.Bool(true)})
	require.NoError(s.t, err)
	rows := map[string]string{}
	for _, item := range out.Items {
		k, ok := item["constraint"].(*types.AttributeValueMemberS)
		require.True(s.t, ok)
		owner, ok := item["stream"].(*types.AttributeValueMemberS)
		if !ok {
			owner = &types.AttributeValueMemberS{}
		}
		rows[k.Value] = owner.Value
	}
	return rows
}

// audit runs an audit; with changes its configuration.
func (s *stage) audit(with ...func(*claimsaudit.Config)) (claimsaudit.Result, []claimsaudit.Difference, error) {
	var found []claimsaudit.Difference
	c := claimsaudit.Config{
		Claims:       dynamostore.NewClaims(s.client, dynamostore.Config{}),
		Categories:   []claimsaudit.Category{claimsaudit.NewCategory(user.Aggregate()), claimsaudit.NewCategory(role.Aggregate())},
		OnDifference: func(d claimsaudit.Difference) { found = append(found, d) },
		Backoff:      retry.Backoff{Jitter: func(time.Duration) time.Duration { return 0 }},
	}
	for _, change := range with {
		change(&c)
	}
	result, err := claimsaudit.Run(s.t.Context(), c)
	for _, d := range found {
		require.NotContains(s.t, d.String(), "secret", "no value is shown")
	}
	if err != nil {
		require.NotContains(s.t, err.Error(), "secret", "no value is shown")
	}
	require.Len(s.t, found, result.Differences)
	return result, found, err
}

// audited is audit without an error, its differences as sorted lines.
func (s *stage) audited(with ...func(*claimsaudit.Config)) (claimsaudit.Result, []string) {
	s.t.Helper()
	result, found, err := s.audit(with...)
	require.NoError(s.t, err)
	lines := []string{}
	for _, d := range found {
		lines = append(lines, strings.ReplaceAll(d.String(), "org/iam/", ""))
	}
	slices.Sort(lines)
	return result, lines
}

// repairing repairs all that can be.
func repairing(c *claimsaudit.Config) { c.Repair, c.RepairEmptied = true, true }

func repairingWithoutEmptied(c *claimsaudit.Config) { c.Repair = true }

// through makes the audit call DynamoDB through the hooks.
func (s *stage) through(h hooks) func(*claimsaudit.Config) {
	h.Client = s.client
	return func(c *claimsaudit.Config) { c.Claims = dynamostore.NewClaims(&h, dynamostore.Config{}) }
}

// hooks run before and after every call; an error of either fails it.
type hooks struct {
	*dynamodb.Client
	before, after func(operation string) error
}

func hooked[In, Out any](
	ctx context.Context, h *hooks, op string, in In, opts []func(*dynamodb.Options),
	call func(context.Context, In, ...func(*dynamodb.Options)) (*Out, error),
) (*Out, error) {
	if h.before != nil {
		if err := h.before(op); err != nil {
			return nil, err
		}
	}
	out, err := call(ctx, in, opts...)
	if err == nil && h.after != nil {
		if err := h.after(op); err != nil {
			return nil, err
		}
	}
	return out, err
}

func (h *hooks) GetItem(ctx context.Context, in *dynamodb.GetItemInput, o ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	return hooked(ctx, h, "GetItem", in, o, h.Client.GetItem)
}

func (h *hooks) Query(ctx context.Context, in *dynamodb.QueryInput, o ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	return hooked(ctx, h, "Query", in, o, h.Client.Query)
}

func (h *hooks) Scan(ctx context.Context, in *dynamodb.ScanInput, o ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error) {
	return hooked(ctx, h, "Scan", in, o, h.Client.Scan)
}

func (h *hooks) TransactGetItems(
	ctx context.Context, in *dynamodb.TransactGetItemsInput, o ...func(*dynamodb.Options),
) (*dynamodb.TransactGetItemsOutput, error) {
	return hooked(ctx, h, "TransactGetItems", in, o, h.Client.TransactGetItems)
}

func (h *hooks) TransactWriteItems(
	ctx context.Context, in *dynamodb.TransactWriteItemsInput, o ...func(*dynamodb.Options),
) (*dynamodb.TransactWriteItemsOutput, error) {
	return hooked(ctx, h, "TransactWriteItems", in, o, h.Client.TransactWriteItems)
}
