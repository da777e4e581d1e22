package check_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/zclconf/go-cty/cty"

	"github.com/leftfold/leftfold/deploy/terraform/check"
)

// right is an action on a resource, either of them a pattern with *; if of is set, only on items with that partition key.
type right struct{ action, resource, of string }

func (r right) String() string {
	if r.of != "" {
		return r.action + " " + r.resource + " of " + r.of
	}
	return r.action + " " + r.resource
}

// covers reports whether one who has this right may do what needs the other.
func (r right) covers(needed right) bool {
	return matches(r.action, needed.action) && matches(r.resource, needed.resource) && (r.of == "" || r.of == needed.of)
}

func matches(pattern, text string) bool {
	return regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*") + "$").MatchString(text)
}

// role refuses, as IAM does, every call of AWS that Terraform's statements do not allow. Safe for concurrent use.
type role struct {
	mu      sync.Mutex
	used    map[right]bool // all that are granted
	refused map[right]bool
}

func newRole(statements cty.Value) *role {
	r := &role{used: map[right]bool{}, refused: map[right]bool{}}
	for it := statements.ElementIterator(); it.Next(); {
		_, s := it.Element()
		of := ""
		if s.Type().HasAttribute("leading_keys") {
			of = strings.Join(check.Strings(s.GetAttr("leading_keys")), ",")
		}
		for _, action := range check.Strings(s.GetAttr("actions")) {
			for _, resource := range check.Strings(s.GetAttr("resources")) {
				r.used[right{action, resource, of}] = false
			}
		}
	}
	return r
}

// allows reports whether the role has all of the needed rights, and records them.
func (r *role) allows(needed []right) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	allowed := true
	for _, n := range needed {
		found := false
		for has := range r.used {
			if has.covers(n) {
				r.used[has], found = true, true
			}
		}
		if !found {
			r.refused[n], allowed = true, false
		}
	}
	return allowed
}

// assertEnough fails the test for each right that was missing.
func (r *role) assertEnough(t *testing.T, name string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, missing := range slices.SortedFunc(maps.Keys(r.refused), compare) {
		t.Errorf("%s needs a right that it has not: %s", name, missing)
	}
}

// assertNoMore fails the test for each right that was never used, unless it is one of seldom.
func (r *role) assertNoMore(t *testing.T, name string, seldom map[string]string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	granted := map[string]bool{}
	for has, used := range r.used {
		granted[has.String()] = true
		if _, known := seldom[has.String()]; !used && !known {
			t.Errorf("%s has a right that it never uses: %s", name, has)
		}
	}
	for needed, why := range seldom {
		assert.True(t, granted[needed], "%s needs the right %s when %s", name, needed, why)
	}
}

func compare(a, b right) int { return strings.Compare(a.String(), b.String()) }

// guarded is a connection to AWS under a role.
type guarded struct {
	role *role
	next http.RoundTripper
}

func (g guarded) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if !g.role.allows(neededFor(r.Header.Get("X-Amz-Target"), body)) {
		answer := `{"__type":"com.amazonaws#AccessDeniedException","message":"not authorized to perform ` + r.Header.Get("X-Amz-Target") + `"}`
		return &http.Response{
			StatusCode: http.StatusBadRequest, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
			Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}}, Body: io.NopCloser(strings.NewReader(answer)),
		}, nil
	}
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(bytes.NewReader(body))
	return g.next.RoundTrip(r)
}

// call has the members of the calls of DynamoDB, DynamoDB Streams, Kinesis and SQS that name resources.
type call struct {
	TableName, IndexName string
	ResourceArn          string
	Tags                 []struct{}
	Key, Item            map[string]attribute
	Values               map[string]attribute       `json:"ExpressionAttributeValues"`
	RequestItems         map[string]json.RawMessage // by table
	TransactItems        []map[string]call          // by action

	StreamName, StreamARN, ConsumerName, ConsumerARN string
	QueueName, QueueURL                              string
}

type attribute struct{ S string }

// target is the value of the header X-Amz-Target: a service, its version and an operation.
var target = regexp.MustCompile(`^(DynamoDBStreams|DynamoDB|Kinesis|AmazonSQS)(?:_\d+)?\.(\w+)$`)

// neededFor returns the rights that IAM requires for a call.
// https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
func neededFor(header string, body []byte) []right {
	t := target.FindStringSubmatch(header)
	var c call
	if t == nil || json.Unmarshal(body, &c) != nil {
		return []right{{action: "unknown: " + header}}
	}
	action := strings.TrimSuffix(t[2], "Batch") // of SQS, where a batch needs the right of a single call
	switch t[1] {
	case "DynamoDBStreams": // one table has a stream, and an iterator does not tell it
		return []right{{action: "dynamodb:" + action, resource: "table/EventLog/stream/*"}}
	case "DynamoDB":
		if tables := c.ofTables(action); len(tables) > 0 {
			return tables
		}
		return []right{{action: "dynamodb:" + action, resource: "*"}}
	case "AmazonSQS":
		return []right{{action: "sqs:" + action, resource: "queue/" + c.QueueName + c.QueueURL[strings.LastIndex(c.QueueURL, "/")+1:]}}
	default:
		return c.ofStream("kinesis:" + action)
	}
}

func (c *call) ofTables(action string) (out []right) {
	for table := range c.RequestItems {
		out = append(out, right{action: "dynamodb:" + action, resource: "table/" + table})
	}
	for _, part := range c.TransactItems { // each needs the right of the call outside a transaction
		for kind, item := range part {
			single := kind
			if kind != "ConditionCheck" {
				single = strings.TrimSuffix(kind, "Item")
			}
			out = append(out, item.ofTables(single+"Item")...)
		}
	}
	if c.ResourceArn != "" {
		out = append(out, right{action: "dynamodb:" + action, resource: strings.SplitN(c.ResourceArn, ":", 6)[5]})
	}
	if action == "CreateTable" && len(c.Tags) > 0 {
		out = append(out, right{action: "dynamodb:TagResource", resource: "table/" + c.TableName})
	}
	if c.TableName != "" {
		// Only leases have a partition key that rights depend on.
		needed := right{"dynamodb:" + action, "table/" + c.TableName, c.Key["consumer"].S + c.Item["consumer"].S + c.Values[":consumer"].S}
		if c.IndexName != "" {
			needed.resource += "/index/" + c.IndexName
		}
		out = append(out, needed)
	}
	return out
}

func (c *call) ofStream(action string) []right {
	stream := "stream/event-source" // there is one, and an iterator does not tell it
	switch {
	case c.StreamName != "":
		stream = "stream/" + c.StreamName
	case c.StreamARN != "":
		stream = strings.SplitN(c.StreamARN, ":", 6)[5]
	}
	out := []right{{action: action, resource: stream}} // a call of a consumer needs the right on its stream, too
	switch {
	case c.ConsumerARN != "":
		out = append(out, right{action: action, resource: strings.SplitN(c.ConsumerARN, ":", 6)[5]})
	case c.ConsumerName != "" && action != "kinesis:RegisterStreamConsumer":
		out = append(out, right{action: action, resource: stream + "/consumer/" + c.ConsumerName})
	}
	return out
}

func TestARoleAllowsWhatItsStatementsSay(t *testing.T) {
	t.Parallel()
	r := &role{refused: map[right]bool{}, used: map[right]bool{
		{"dynamodb:GetItem", "table/a", ""}: false, {"dynamodb:PutItem", "table/a", ""}: false,
		{"dynamodb:Scan", "table/a/index/*", ""}: false, {"dynamodb:PutItem", "table/leases", "me"}: false,
		{"dynamodb:ListTagsOfResource", "table/b", ""}: false, {"dynamodb:CreateTable", "table/b", ""}: false,
		{"kinesis:SubscribeToShard", "stream/event-source", ""}: false, {"kinesis:SubscribeToShard", "stream/event-source/consumer/*", ""}: false,
		{"sqs:SendMessage", "queue/q.fifo", ""}: false,
	}}
	for _, call := range []struct {
		target, body string
		allowed      bool
	}{
		{"DynamoDB_20120810.GetItem", `{"TableName":"a","Key":{"id":{"S":"x"}}}`, true},
		{"DynamoDB_20120810.GetItem", `{"TableName":"ab"}`, false},
		{"DynamoDB_20120810.Query", `{"TableName":"a"}`, false},
		{"DynamoDB_20120810.Scan", `{"TableName":"a","IndexName":"i"}`, true},
		{"DynamoDB_20120810.Scan", `{"TableName":"a"}`, false},
		{"DynamoDB_20120810.PutItem", `{"TableName":"leases","Item":{"consumer":{"S":"me"},"n":{"N":"1"}}}`, true},
		{"DynamoDB_20120810.PutItem", `{"TableName":"leases","Item":{"consumer":{"S":"other"}}}`, false},
		{"DynamoDB_20120810.BatchGetItem", `{"RequestItems":{"a":{"Keys":[]}}}`, false},
		{"DynamoDB_20120810.TransactGetItems", `{"TransactItems":[{"Get":{"TableName":"a"}}]}`, true},
		{"DynamoDB_20120810.TransactWriteItems", `{"TransactItems":[{"Put":{"TableName":"a"}}]}`, true},
		{"DynamoDB_20120810.TransactWriteItems", `{"TransactItems":[{"Put":{"TableName":"a"}},{"ConditionCheck":{"TableName":"a"}}]}`, false},
		{"Kinesis_20131202.SubscribeToShard", `{"ConsumerARN":"arn:aws:kinesis:r:1:stream/event-source/consumer/c:1"}`, true},
		{"Kinesis_20131202.SubscribeToShard", `{"ConsumerARN":"arn:aws:kinesis:r:1:stream/other/consumer/c:1"}`, false},
		{"Kinesis_20131202.PutRecords", `{"StreamName":"event-source"}`, false},
		{"AmazonSQS.SendMessageBatch", `{"QueueUrl":"http://sqs/1/q.fifo"}`, true},
		{"AmazonSQS.SendMessage", `{"QueueUrl":"http://sqs/1/q-dlq.fifo"}`, false},
		{"Kinesis_20131202.SubscribeToShard", `{"StreamARN":"arn:aws:kinesis:r:1:stream/other"}`, false},
		{"DynamoDB_20120810.ListTables", `{}`, false},
		{"DynamoDB_20120810.ListTagsOfResource", `{"ResourceArn":"arn:aws:dynamodb:r:1:table/b"}`, true},
		{"DynamoDB_20120810.ListTagsOfResource", `{"ResourceArn":"arn:aws:dynamodb:r:1:table/a"}`, false},
		{"DynamoDB_20120810.CreateTable", `{"TableName":"b"}`, true},
		{"DynamoDB_20120810.CreateTable", `{"TableName":"b","Tags":[{"Key":"k","Value":"v"}]}`, false},
		{"AmazonSSM.GetParameter", `{}`, false},
		{"", ``, false},
	} {
		assert.Equal(t, call.allowed, r.allows(neededFor(call.target, []byte(call.body))), "%s %s", call.target, call.body)
	}
}
