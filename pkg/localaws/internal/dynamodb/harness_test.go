package dynamodb

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
)

// clock is a clock that tests set.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// server calls a DB with requests and responses in wire form.
type server struct {
	t *testing.T
	*DB
	clock *clock
}

func newServer(t *testing.T) *server {
	t.Helper()
	c := &clock{now: time.Date(2026, 5, 11, 21, 21, 33, 291_000_000, time.UTC)}
	return &server{t, New(Options{Region: "eu-west-1", AccountID: "123456789012", Now: c.Now}), c}
}

type object = map[string]any

// do returns the status and the decoded body.
func (s *server) do(operation, body string) (int, object) {
	s.t.Helper()
	var svc *awsjson.Service
	if svc = s.Service(); svc.Operations[operation] == nil {
		svc = s.Streams()
	}
	w := httptest.NewRecorder()
	svc.Do(s.t.Context(), operation, []byte(body), w)
	var out object
	require.NoError(s.t, json.Unmarshal(w.Body.Bytes(), &out), w.Body.String())
	return w.Code, out
}

func (s *server) ok(operation, body string) object {
	s.t.Helper()
	status, out := s.do(operation, body)
	require.Equal(s.t, http.StatusOK, status, "%s %s: %v", operation, body, out)
	return out
}

// fails returns the error's members.
func (s *server) fails(operation, body, code, message string) object {
	s.t.Helper()
	status, out := s.do(operation, body)
	assert.Equal(s.t, http.StatusBadRequest, status, out)
	assert.Equal(s.t, namespace+"#"+code, out["__type"], "%s %s: %v", operation, body, out)
	assert.Equal(s.t, message, out["message"], "%s %s", operation, body)
	return out
}

func (s *server) json(v any) string {
	s.t.Helper()
	b, err := json.Marshal(v)
	require.NoError(s.t, err)
	return string(b)
}

const stringTable = `{"TableName":"users","BillingMode":"PAY_PER_REQUEST",
	"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],
	"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}`

const eventsTable = `{"TableName":"events","BillingMode":"PAY_PER_REQUEST",
	"AttributeDefinitions":[{"AttributeName":"stream","AttributeType":"S"},{"AttributeName":"version","AttributeType":"N"},
		{"AttributeName":"kind","AttributeType":"S"},{"AttributeName":"at","AttributeType":"S"}],
	"KeySchema":[{"AttributeName":"stream","KeyType":"HASH"},{"AttributeName":"version","KeyType":"RANGE"}],
	"LocalSecondaryIndexes":[{"IndexName":"by-at","KeySchema":[{"AttributeName":"stream","KeyType":"HASH"},
		{"AttributeName":"at","KeyType":"RANGE"}],"Projection":{"ProjectionType":"KEYS_ONLY"}}],
	"GlobalSecondaryIndexes":[{"IndexName":"by-kind","KeySchema":[{"AttributeName":"kind","KeyType":"HASH"}],
		"Projection":{"ProjectionType":"INCLUDE","NonKeyAttributes":["note"]}}],
	"StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_IMAGE"}}`

func newTables(t *testing.T) *server {
	t.Helper()
	s := newServer(t)
	s.ok("CreateTable", stringTable)
	s.ok("CreateTable", eventsTable)
	return s
}

func (s *server) putUser(id, rest string) {
	s.t.Helper()
	s.ok("PutItem", `{"TableName":"users","Item":{"id":{"S":"`+id+`"}`+rest+`}}`)
}

func text(n int) string { return strings.Repeat("x", n) }

// as returns v as a T, or the zero T, which then fails the assertion on it.
func as[T any](v any) T {
	t, _ := v.(T)
	return t
}
