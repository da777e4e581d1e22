package dynamostore_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// overhead is what an event of commit has in its item beside its data, added up by DynamoDB's rules:
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
const overhead = len("stream"+"test/1") +
	len("version") + 2 + // a number of up to two digits
	len("id"+"test/1@1") +
	len("name"+"test/happened") +
	len("schema") + 2 +
	len("data") +
	len("recorded_at"+"2026-03-01T12:00:00.000Z")

func data(bytes int) []byte { return []byte(`"` + strings.Repeat("x", bytes-2) + `"`) }

// refusedUnsent expects ErrTooLarge, with a text that says what is too large, and no call.
func refusedUnsent(t *testing.T, client *faulty, c eventsourcing.Commit, text string) {
	t.Helper()
	before := client.Server.Calls()
	err := dynamostore.NewStore(client, dynamostore.Config{}).Append(t.Context(), c)
	require.ErrorIs(t, err, eventsourcing.ErrTooLarge)
	require.ErrorContains(t, err, text)
	assert.Equal(t, before, client.Server.Calls())
}

func TestItemLimit(t *testing.T) {
	t.Parallel()
	client := newFaulty(t)
	store := dynamostore.NewStore(client, dynamostore.Config{})
	c := commit(stream, 0, 1)
	c.Records[0].Data = data(400<<10 - overhead + 1)
	refusedUnsent(t, client, c, "event test/happened version 1 has 409601 bytes; an item takes 409600")
	c.Records[0].Data = data(400<<10 - overhead)
	require.NoError(t, store.Append(t.Context(), c))
	assert.Len(t, ids(t, store, stream), 1)

	c = commit(stream, 1, 1)
	const enrichment = len("enrichment") + 3 + 1 + // a list of one
		3 + 3 + // a map of three
		len("aggregate"+"org/iam/role"+"id"+"r"+"data")
	const metadata = len("metadata") + 3 + 1 + len("actor"+"dan")
	c.Records[0].Metadata.Actor = "dan"
	c.Records[0].Enrichment = []eventsourcing.Enrichment{{Aggregate: "org/iam/role", ID: "r"}}
	c.Records[0].Enrichment[0].Data = data(400<<10 - overhead - len(`{}`) - enrichment - metadata + 1)
	refusedUnsent(t, client, c, "409601")
	c.Records[0].Enrichment[0].Data = data(400<<10 - overhead - len(`{}`) - enrichment - metadata)
	require.NoError(t, store.Append(t.Context(), c))

	c = commit(stream, 2, 1)
	c.Result = &eventsourcing.CommandResult{ID: "c", ExpiresAt: time.Unix(1_999_999_999, 0)}
	const result = len("id"+"c"+"fingerprint"+"outcome"+"expires_at") + 6
	c.Result.Outcome = make([]byte, 400<<10-result+1)
	refusedUnsent(t, client, c, "command result has 409601 bytes")
	c.Result.Outcome = c.Result.Outcome[1:]
	require.NoError(t, store.Append(t.Context(), c))
}

func TestTransactionLimits(t *testing.T) {
	t.Parallel()
	client := newFaulty(t)
	store := dynamostore.NewStore(client, dynamostore.Config{})
	claims := func(n int) (claims []eventsourcing.Claim) {
		for i := range n {
			claims = append(claims, eventsourcing.Claim{Category: "test", Name: "n", Value: fmt.Sprint(i)})
		}
		return claims
	}
	c := commit(stream, 0, 60)
	c.Take = claims(39)
	c.Result = whole().Result
	c.Guards = whole().Guards
	refusedUnsent(t, client, c, "101 events, claims, guards, scopes and results; a transaction takes 100")
	c.Guards = nil
	require.NoError(t, store.Append(t.Context(), c))

	big := eventsourcing.StreamID{Category: "test", ID: "2"}
	c = commit(big, 0, 16)
	ids16 := 7 * 1 // IDs of version 10 and later are a byte longer
	for i := range c.Records {
		c.Records[i].Data = data(4<<20/16 - overhead)
	}
	c.Records[0].Data = data(4<<20/16 - overhead - ids16 + 1)
	refusedUnsent(t, client, c, "4194305 bytes in all; a transaction takes 4194304")
	c.Records[0].Data = data(4<<20/16 - overhead - ids16)
	require.NoError(t, store.Append(t.Context(), c))
}

func TestKeyLimit(t *testing.T) {
	t.Parallel()
	client := newFaulty(t)
	store := dynamostore.NewStore(client, dynamostore.Config{})
	withClaim := func(bytes int) eventsourcing.Commit {
		c := commit(stream, 0, 1)
		c.Take = []eventsourcing.Claim{{Category: "test", Name: "n", Value: strings.Repeat("v", bytes-len("test#n:"))}}
		return c
	}
	refusedUnsent(t, client, withClaim(2049), "key constraint of claim has 2049 bytes")
	require.NoError(t, store.Append(t.Context(), withClaim(2048)))

	c := commit(stream, 1, 1)
	c.Records[0].ID = strings.Repeat("e", 3000) // no key
	require.NoError(t, store.Append(t.Context(), c))

	c = commit(stream, 2, 1)
	c.Result = whole().Result
	c.Result.ID = strings.Repeat("c", 2049)
	refusedUnsent(t, client, c, "key id of command result")
}

// DynamoDB's JSON would change such text.
func TestInvalidRecordsAreRefusedBeforeTheyAreSent(t *testing.T) {
	t.Parallel()
	client := newFaulty(t)
	store := dynamostore.NewStore(client, dynamostore.Config{})
	for what, spoil := range map[string]func(*eventsourcing.Record){
		`"data": not JSON`:                   func(r *eventsourcing.Record) { r.Data = []byte("\"\xff\"") },
		`record of version 1: field "data"`:  func(r *eventsourcing.Record) { r.Data = []byte(`{"a":`) },
		`"metadata.actor": not text`:         func(r *eventsourcing.Record) { r.Metadata.Actor = "\xff" },
		`"metadata.traceparent": not text`:   func(r *eventsourcing.Record) { r.Metadata.Traceparent = "\xff" },
		`"metadata.correlationId": not text`: func(r *eventsourcing.Record) { r.Metadata.CorrelationID = "\xff" },
		`"metadata.causationId": not text`:   func(r *eventsourcing.Record) { r.Metadata.CausationID = "\xff" },
		`"name": not text`:                   func(r *eventsourcing.Record) { r.Name = "\xff" },
		`"\xff"`:                             func(r *eventsourcing.Record) { r.ID = "\xff"; r.Version = 2 },
		`"enrichment[0].data": missing or invalid`: func(r *eventsourcing.Record) {
			r.Enrichment = []eventsourcing.Enrichment{{Aggregate: "x", ID: "1", Data: []byte("\"\xff\"")}}
		},
		`"schema": not 1 or more`: func(r *eventsourcing.Record) { r.Schema = 0 },
	} {
		c := commit(stream, 0, 1)
		spoil(&c.Records[0])
		require.ErrorContains(t, store.Append(t.Context(), c), what)
	}
	for _, s := range []eventsourcing.StreamID{
		{},
		{Category: "a"},
		{ID: "a"},
		{Category: "a", ID: "b/c"},
		{Category: "a", ID: "\xff"},
		{Category: "a", ID: "b c"},
		{Category: "a", ID: "é"},
		{Category: "a", ID: "b\n"},
		{Category: "a", ID: strings.Repeat("b", eventsourcing.MaxStreamText-1)},
	} {
		require.Error(t, store.Append(t.Context(), commit(s, 0, 1)), s)
	}
	c := commit(stream, 0, 1)
	c.Result = &eventsourcing.CommandResult{ID: "c\xff"}
	require.Error(t, store.Append(t.Context(), c))
	c = commit(stream, 0, 1)
	c.Take = []eventsourcing.Claim{{Category: "test", Name: "n", Value: "\xff"}}
	require.ErrorContains(t, store.Append(t.Context(), c), `claim on "test#n": not text`)
	assert.Empty(t, client.calls["PutItem"]+client.calls["TransactWriteItems"])
}

// Something else damaged the result of a command. The command was carried out, so it is not carried out again.
func TestADamagedResultIsStillAResult(t *testing.T) {
	t.Parallel()
	for _, attribute := range []string{"fingerprint", "expires_at", "outcome"} {
		for damage, value := range map[string]types.AttributeValue{"missing": nil, "of another type": &types.AttributeValueMemberBOOL{}} {
			t.Run(attribute+" "+damage, func(t *testing.T) {
				t.Parallel()
				_, client := newServer(t)
				store := dynamostore.NewStore(client, dynamostore.Config{})
				first, second := commit(stream, 0, 1), commit(stream, 1, 1)
				first.Result = &eventsourcing.CommandResult{ID: "k", Fingerprint: "f", ExpiresAt: time.Now().Add(time.Hour), Outcome: []byte("{}")}
				second.Result = first.Result
				require.NoError(t, store.Append(t.Context(), first))
				out, err := client.Scan(t.Context(), &dynamodb.ScanInput{TableName: aws.String("commands")})
				require.NoError(t, err)
				require.Len(t, out.Items, 1)
				item := out.Items[0]
				require.Contains(t, item, attribute)
				delete(item, attribute)
				if value != nil {
					item[attribute] = value
				}
				_, err = client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("commands"), Item: item})
				require.NoError(t, err)

				require.ErrorIs(t, store.Append(t.Context(), second), eventsourcing.ErrCommandRepeated)
				_, err = store.Result(t.Context(), "k")
				require.ErrorIs(t, err, eventsourcing.ErrResultUnreadable)
			})
		}
	}
}

func TestInvalidItemsAreErrors(t *testing.T) {
	t.Parallel()
	s := func(v string) types.AttributeValue { return &types.AttributeValueMemberS{Value: v} }
	n := func(v string) types.AttributeValue { return &types.AttributeValueMemberN{Value: v} }
	m := func(v map[string]types.AttributeValue) types.AttributeValue {
		return &types.AttributeValueMemberM{Value: v}
	}
	for want, spoil := range map[string]func(map[string]types.AttributeValue){
		`event test/1 version 1: attribute "data": missing`:           func(it map[string]types.AttributeValue) { delete(it, "data") },
		`event test/1 version 1: attribute "data": not JSON`:          func(it map[string]types.AttributeValue) { it["data"] = s("{") },
		`event test/1 version 1: attribute "id": missing`:             func(it map[string]types.AttributeValue) { delete(it, "id") },
		`event test/1 version 1: attribute "name": is N, not S`:       func(it map[string]types.AttributeValue) { it["name"] = n("1") },
		`event test/1 version 1: attribute "schema": is S, not N`:     func(it map[string]types.AttributeValue) { it["schema"] = s("1") },
		`event test/1 version 1: attribute "schema": strconv`:         func(it map[string]types.AttributeValue) { it["schema"] = n("1.5") },
		`event test/1 version 1: attribute "recorded_at": not a time`: func(it map[string]types.AttributeValue) { it["recorded_at"] = s("now") },
		`event test/1 version 1: attribute "metadata": is S, not M`:   func(it map[string]types.AttributeValue) { it["metadata"] = s("") },
		`event test/1 version 1: attribute "metadata.actor": is N, not S`: func(it map[string]types.AttributeValue) {
			it["metadata"] = m(map[string]types.AttributeValue{"actor": n("1")})
		},
		`event test/1 version 1: attribute "enrichment": is M, not L`: func(it map[string]types.AttributeValue) {
			it["enrichment"] = m(map[string]types.AttributeValue{})
		},
		`event test/1 version 1: attribute "enrichment[1].id": missing`: func(it map[string]types.AttributeValue) {
			e := map[string]types.AttributeValue{"aggregate": s("a"), "id": s("1"), "data": s("{}")}
			it["enrichment"] = &types.AttributeValueMemberL{Value: []types.AttributeValue{
				m(e), m(map[string]types.AttributeValue{"aggregate": s("a"), "data": s("{}")}),
			}}
		},
		`event test/1 version 1: attribute "enrichment[0]": is S, not M`: func(it map[string]types.AttributeValue) {
			it["enrichment"] = &types.AttributeValueMemberL{Value: []types.AttributeValue{s("")}}
		},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			_, client := newServer(t)
			store := dynamostore.NewStore(client, dynamostore.Config{})
			require.NoError(t, store.Append(t.Context(), commit(stream, 0, 1)))
			out, err := client.GetItem(t.Context(), &dynamodb.GetItemInput{
				TableName: aws.String("EventLog"), Key: map[string]types.AttributeValue{"stream": s("test/1"), "version": n("1")},
			})
			require.NoError(t, err)
			spoil(out.Item)
			_, err = client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("EventLog"), Item: out.Item})
			require.NoError(t, err)
			var last error
			for _, last = range store.Read(t.Context(), stream, 0) {
			}
			require.ErrorContains(t, last, want)
			require.ErrorIs(t, last, eventsourcing.ErrLogHole)

			require.NoError(t, store.Append(t.Context(), commit(eventsourcing.StreamID{Category: "test", ID: "other"}, 0, 1)))
			good, unread := 0, 0
			for r, err := range store.All(t.Context(), 1) {
				if err == nil {
					good++
					continue
				}
				unread++
				require.ErrorIs(t, err, eventsourcing.ErrLogHole)
				require.ErrorContains(t, err, want)
				assert.Zero(t, r)
				var bad *dynamostore.ItemError
				require.ErrorAs(t, err, &bad)
				assert.Equal(t, []string{"test/1", "1"}, []string{bad.Stream, bad.Version})
			}
			assert.Equal(t, []int{1, 1}, []int{good, unread}, "it ends nothing")
		})
	}
}

func TestAGapInTheLogIsAnError(t *testing.T) {
	t.Parallel()
	_, client := newServer(t)
	store := dynamostore.NewStore(client, dynamostore.Config{})
	require.NoError(t, store.Append(t.Context(), commit(stream, 0, 3)))
	_, err := client.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{
		TableName: aws.String("EventLog"), Key: map[string]types.AttributeValue{
			"stream": &types.AttributeValueMemberS{Value: "test/1"}, "version": &types.AttributeValueMemberN{Value: "2"},
		},
	})
	require.NoError(t, err)
	for after, want := range map[eventsourcing.Version]string{0: "version 3 follows 1", 1: "version 3 follows 1", 2: ""} {
		var last error
		for _, last = range store.Read(t.Context(), stream, after) {
		}
		if want == "" {
			require.NoError(t, last)
		} else {
			require.ErrorContains(t, last, want)
		}
	}
}

// A user may hold 90 roles, each with a scope: what disables it fits, with all else that such a commit can have.
func TestACommitMovesAndChecksNinetyScopes(t *testing.T) {
	t.Parallel()
	client := newFaulty(t)
	c := whole() // result, two events, guard, claim to take and claim to release
	c.Expected = 7
	for i := range c.Records {
		c.Records[i].Version += c.Expected
	}
	for v := range c.Expected { // a store that does not know the stream also checks that version 7 exists
		require.NoError(t, dynamostore.NewStore(client, dynamostore.Config{}).Append(t.Context(), commit(stream, v, 1)))
	}
	for i := range 94 {
		c.Scopes = append(c.Scopes, eventsourcing.ScopeMove{
			Scope: eventsourcing.Scope{Subject: "test/role/" + strings.Repeat("x", 40), Name: fmt.Sprint(i)},
			Read:  new(eventsourcing.Version(0)), Add: map[string]int64{"holders": -1, "seats": 1},
		})
	}
	refusedUnsent(t, client, c, "101 events, claims, guards, scopes and results; a transaction takes 100")
	c.Scopes = c.Scopes[:90]
	require.NoError(t, dynamostore.NewStore(client, dynamostore.Config{}).Append(t.Context(), c))
}

func TestScopeKeyLimit(t *testing.T) {
	t.Parallel()
	client := newFaulty(t)
	withScope := func(bytes int) eventsourcing.Commit {
		c := commit(stream, 0, 1)
		c.Scopes = []eventsourcing.ScopeMove{{
			Scope: eventsourcing.Scope{Subject: strings.Repeat("s", bytes-len("#n")), Name: "n"}, Add: map[string]int64{"n": 1},
		}}
		return c
	}
	refusedUnsent(t, client, withScope(2049), "key scope of scope has 2049 bytes; a key takes 2048")
	require.NoError(t, dynamostore.NewStore(client, dynamostore.Config{}).Append(t.Context(), withScope(2048)))
}
