package localaws_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/localaws"
)

// signed sends a request to an operation of DynamoDB with an access key, and returns the size of the answer.
func signed(t *testing.T, server http.Handler, key, operation, body string) int {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("X-Amz-Target", "DynamoDB_20120810."+operation)
	if key != "" {
		scope := key + "/20260101/us-east-1/dynamodb/aws4_request"
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+scope+", SignedHeaders=host, Signature=0")
	}
	w := httptest.NewRecorder()
	server.ServeHTTP(w, r)
	return w.Body.Len()
}

// Units are counted whether the request asks for them or not: those of indexes, twice those of transactions, half of a read that need
// not be consistent.
func TestUsageIsCountedByAccessKeyAndOperation(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	signed(t, server, "", "CreateTable", `{"TableName":"users","KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],
		"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"},{"AttributeName":"of","AttributeType":"S"}],
		"BillingMode":"PAY_PER_REQUEST","GlobalSecondaryIndexes":[{"IndexName":"by-of","KeySchema":[{"AttributeName":"of","KeyType":"HASH"}],
		"Projection":{"ProjectionType":"KEYS_ONLY"}}]}`)
	put := `{"TableName":"users","Item":{"id":{"S":"1"},"of":{"S":"a"},"text":{"S":"` + strings.Repeat("x", 1500) + `"}}}`
	answered := signed(t, server, "writer", "PutItem", put)
	signed(t, server, "writer", "TransactWriteItems", `{"TransactItems":[{"Put":{"TableName":"users","Item":{"id":{"S":"2"}}}}]}`)
	signed(t, server, "writer", "BatchWriteItem", `{"RequestItems":{"users":[{"PutRequest":{"Item":{"id":{"S":"3"}}}}]}}`)
	signed(t, server, "reader", "GetItem", `{"TableName":"users","Key":{"id":{"S":"1"}},"ConsistentRead":true}`)
	signed(t, server, "reader", "GetItem", `{"TableName":"users","Key":{"id":{"S":"1"}}}`)
	signed(t, server, "reader", "Scan", `{"TableName":"users"}`)
	signed(t, server, "reader", "BatchGetItem", `{"RequestItems":{"users":{"Keys":[{"id":{"S":"1"}},{"id":{"S":"2"}}]}}}`)
	signed(t, server, "reader", "TransactGetItems", `{"TransactItems":[{"Get":{"TableName":"users","Key":{"id":{"S":"2"}}}}]}`)
	signed(t, server, "reader", "GetItem", `{"TableName":"nowhere","Key":{"id":{"S":"1"}}}`) // refused: counted without units

	type units struct {
		calls       int64
		read, write float64
	}
	got := map[string]units{}
	for _, u := range server.Usage() {
		got[u.AccessKey+" "+u.Operation] = units{u.Calls, u.ReadUnits, u.WriteUnits}
		if u.Operation == "DynamoDB.PutItem" {
			assert.EqualValues(t, len(put), u.RequestBytes)
			assert.EqualValues(t, answered, u.ResponseBytes)
		}
	}
	assert.Equal(t, map[string]units{
		" DynamoDB.CreateTable":              {1, 0, 0},
		"writer DynamoDB.PutItem":            {1, 0, 3}, // 2 KB and an entry of the index
		"writer DynamoDB.TransactWriteItems": {1, 0, 2},
		"writer DynamoDB.BatchWriteItem":     {1, 0, 1},
		"reader DynamoDB.GetItem":            {3, 1.5, 0},
		"reader DynamoDB.Scan":               {1, 0.5, 0},
		"reader DynamoDB.BatchGetItem":       {1, 1, 0},
		"reader DynamoDB.TransactGetItems":   {1, 2, 0},
	}, got)

	w := httptest.NewRecorder()
	server.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/_localaws/usage", nil))
	var shown []localaws.Usage
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &shown))
	assert.Equal(t, server.Usage(), shown)
}
