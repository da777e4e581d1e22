package check_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/itchyny/gojq"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/envelope"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/provision"
	"github.com/leftfold/leftfold/pkg/localaws"
)

// value is an attribute in the form of DynamoDB's import.
type value struct {
	S, N *string
	M    map[string]value
	L    []value
}

func (v value) attribute(t *testing.T) types.AttributeValue {
	t.Helper()
	switch {
	case v.S != nil:
		return &types.AttributeValueMemberS{Value: *v.S}
	case v.N != nil:
		return &types.AttributeValueMemberN{Value: *v.N}
	case v.M != nil:
		return &types.AttributeValueMemberM{Value: attributesOf(t, v.M)}
	case v.L != nil:
		list := &types.AttributeValueMemberL{}
		for _, one := range v.L {
			list.Value = append(list.Value, one.attribute(t))
		}
		return list
	}
	require.FailNow(t, "no value")
	return nil
}

func attributesOf(t *testing.T, values map[string]value) map[string]types.AttributeValue {
	t.Helper()
	out := map[string]types.AttributeValue{}
	for name, v := range values {
		out[name] = v.attribute(t)
	}
	return out
}

// TestTheLogIsRestoredFromTheArchive archives records as they come from the stream, turns them into items as docs/operations.md says,
// and reads them as the services do.
func TestTheLogIsRestoredFromTheArchive(t *testing.T) {
	t.Parallel()
	server := localaws.New(localaws.Options{})
	t.Cleanup(server.Close)
	names := defaults(t)
	require.NoError(t, provision.Run(t.Context(), server.Config(), provision.Config{Names: names}))
	db := dynamodb.NewFromConfig(server.Config())
	query, err := gojq.Parse(read(t, "deploy/terraform/restore/items.jq"))
	require.NoError(t, err)

	stream := eventsourcing.StreamID{Category: "org/iam/user", ID: "11111111-1111-4111-8111-111111111111"}
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
	records := []eventsourcing.Record{
		{
			ID: "a", Stream: stream, Version: 1, Name: "org/iam/user/registered", Schema: 1, RecordedAt: at,
			Data: json.RawMessage(`{"email":"dän\"@exämple.com"}`),
		},
		{
			ID: "b", Stream: stream, Version: 2, Name: "org/iam/user/roleAdded", Schema: 2, RecordedAt: at.Add(time.Second),
			Data: json.RawMessage(`{}`),
			Enrichment: []eventsourcing.Enrichment{{
				Aggregate: "org/iam/role", ID: "r", Data: json.RawMessage(`{"name":"auditor","nested":[1,null,{"x":true}]}`),
			}},
			Metadata: eventsourcing.Metadata{
				CorrelationID: "c", CausationID: "d", Actor: "dan",
				Traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Extra: map[string]string{"tenant": "t1"},
			},
		},
		{
			ID: "c", Stream: stream, Version: 3, Name: "org/iam/user/disabled", Schema: 1, RecordedAt: at,
			Data: json.RawMessage(`{}`), Metadata: eventsourcing.Metadata{Actor: "dan"},
		},
	}
	for _, i := range []int{2, 0, 1, 0} { // in no order, and at least once
		archived, err := envelope.Encode(records[i])
		require.NoError(t, err)
		var line any
		decoder := json.NewDecoder(strings.NewReader(string(archived)))
		decoder.UseNumber()
		require.NoError(t, decoder.Decode(&line))
		made, _ := query.RunWithContext(t.Context(), line).Next()
		text, err := gojq.Marshal(made)
		require.NoError(t, err)
		var item struct{ Item map[string]value }
		require.NoError(t, json.Unmarshal(text, &item))
		_, err = db.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &names.EventLog, Item: attributesOf(t, item.Item)})
		require.NoError(t, err)
	}

	log := dynamostore.NewStore(db, dynamostore.Config{Tables: dynamostore.Tables{Events: names.EventLog}})
	n := 0
	for got, err := range log.Read(t.Context(), stream, 0) {
		require.NoError(t, err)
		assert.JSONEq(t, string(records[n].Data), string(got.Data))
		for i := range got.Enrichment {
			assert.JSONEq(t, string(records[n].Enrichment[i].Data), string(got.Enrichment[i].Data))
			got.Enrichment[i].Data = records[n].Enrichment[i].Data
		}
		got.Data = records[n].Data
		assert.Equal(t, records[n], got)
		n++
	}
	assert.Len(t, records, n)
}
