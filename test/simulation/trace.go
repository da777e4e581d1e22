package simulation

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// trace is what happened, step by step, in text that is the same in every run of a seed: random values, such as event IDs and
// receipt handles, are left out or replaced by what they identify.
type trace struct {
	start     time.Time
	lines     []string
	iterators map[string]string // shard by iterator
	receipts  map[string]string // message by receipt handle
	files     map[string]string // what an object of the archive has, by its name
}

func newTrace() *trace {
	return &trace{start: time.Now(), iterators: map[string]string{}, receipts: map[string]string{}, files: map[string]string{}}
}

func (t *trace) note(format string, args ...any) {
	t.lines = append(t.lines, fmt.Sprintf("%12s ", t.clock(time.Now()))+fmt.Sprintf(format, args...))
}

// clock returns a time as the trace shows it.
func (t *trace) clock(at time.Time) string { return fmt.Sprintf("%.6f", at.Sub(t.start).Seconds()) }

func (t *trace) step(c *call, a *answer, what string) {
	result := what
	if a != nil {
		result = strings.TrimSpace(result + " " + t.result(c, a))
	}
	t.note("%-20s %s -> %s", c.life.instance, c.key, result)
}

// hash is equal for equal traces.
func (t *trace) hash() string {
	sum := sha256.Sum256([]byte(strings.Join(t.lines, "\n")))
	return hex.EncodeToString(sum[:8])
}

func (t *trace) result(c *call, a *answer) string {
	if a.err != nil {
		return "connection lost"
	}
	if a.status != 200 {
		kind, _ := object(a.body)["__type"].(string)
		return fmt.Sprintf("%d %s", a.status, kind[strings.LastIndex(kind, "#")+1:])
	}
	body := object(a.body)
	switch _, op, _ := strings.Cut(c.op, "."); op {
	case "GetRecords", "ReceiveMessage":
		return fmt.Sprintf("%d records", len(list(body["Records"]))+len(list(body["Messages"])))
	case "PutRecords":
		return fmt.Sprintf("failed %v", body["FailedRecordCount"])
	case "SendMessageBatch", "DeleteMessageBatch", "ChangeMessageVisibilityBatch":
		return fmt.Sprintf("failed %d", len(list(body["Failed"])))
	default:
		return "ok"
	}
}

// describe names a call by what it is about and a digest of its body.
func (t *trace) describe(c *call) string {
	h := fnv.New32a()
	var b bytes.Buffer
	t.canon(&b, "", c.body)
	_, _ = h.Write(b.Bytes())
	_, op, _ := strings.Cut(c.op, ".")
	return fmt.Sprintf("%s %s [%08x]", op, t.about(c), h.Sum32())
}

func (t *trace) about(c *call) string {
	b := c.body
	switch _, op, _ := strings.Cut(c.op, "."); op {
	case "PutItem":
		return text(b["TableName"]) + " " + itemName(b["Item"])
	case "GetItem", "DeleteItem":
		return text(b["TableName"]) + " " + itemName(b["Key"])
	case "Query":
		return text(b["TableName"]) + " " + itemName(b["ExpressionAttributeValues"])
	case "TransactWriteItems":
		var parts []string
		for _, each := range list(b["TransactItems"]) {
			for kind, what := range fields(each) {
				item := fields(what)["Item"]
				if item == nil {
					item = fields(what)["Key"]
				}
				parts = append(parts, kind+" "+text(fields(what)["TableName"])+" "+itemName(item))
			}
		}
		return strings.Join(parts, "; ")
	case "GetShardIterator":
		return fmt.Sprintf("%s %s %s%s", text(b["ShardId"]), text(b["ShardIteratorType"]),
			text(b["SequenceNumber"]), text(b["StartingSequenceNumber"]))
	case "GetRecords":
		return t.iterators[text(b["ShardIterator"])]
	case "PutRecords":
		var parts []string
		for _, r := range list(b["Records"]) {
			parts = append(parts, versionOf(payload(fields(r)["Data"])))
		}
		return strings.Join(parts, ", ")
	case "SendMessageBatch", "DeleteMessageBatch", "ChangeMessageVisibilityBatch":
		parts := []string{queueOf(c)}
		for _, r := range list(b["Entries"]) {
			e := fields(r)
			parts = append(parts, text(e["MessageDeduplicationId"])+t.receipts[text(e["ReceiptHandle"])])
		}
		return strings.Join(parts, " ")
	case "ReceiveMessage":
		return queueOf(c)
	case "PutObject":
		var parts []string
		for _, e := range eventsIn(c.raw) {
			parts = append(parts, fmt.Sprintf("%s#%d", e.stream, e.version))
		}
		t.files[keyOf(c)] = strings.Join(parts, ", ")
		return t.files[keyOf(c)]
	case "GetObject":
		return t.files[keyOf(c)]
	default:
		return text(b["TableName"]) + text(b["StreamName"]) + text(b["QueueName"])
	}
}

// madeID matches IDs that services generate, which differ from run to run: UUIDs, of which those of clients have another version, and
// random texts.
var madeID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}|\b[A-Z2-7]{26}\b`)

// canon writes a value with its keys in order and without what differs from run to run.
func (t *trace) canon(b *bytes.Buffer, key string, v any) {
	switch v := v.(type) {
	case map[string]any:
		b.WriteByte('{')
		for _, k := range slices.Sorted(maps.Keys(v)) {
			if strings.TrimPrefix(k, ":") == "rebuild" { // the random mark in a row
				continue
			}
			b.WriteString(k)
			b.WriteByte(':')
			t.canon(b, k, v[k])
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for _, each := range v {
			t.canon(b, "", each)
			b.WriteByte(',')
		}
		b.WriteByte(']')
	case string:
		switch key {
		case "ReceiveRequestAttemptId", "ClientRequestToken":
			return
		case "ReceiptHandle":
			v = t.receipts[v]
		case "ShardIterator":
			v = t.iterators[v]
		case "Data":
			v = string(payload(v))
		}
		b.WriteString(madeID.ReplaceAllString(v, "·"))
	default:
		_, _ = fmt.Fprint(b, v)
	}
}

// learn records what the handles in an answer identify.
func (t *trace) learn(c *call, a *answer) {
	if a.err != nil || a.status != 200 {
		return
	}
	switch _, op, _ := strings.Cut(c.op, "."); op {
	case "GetShardIterator":
		t.iterators[text(object(a.body)["ShardIterator"])] = text(c.body["ShardId"])
	case "GetRecords":
		t.iterators[text(object(a.body)["NextShardIterator"])] = t.iterators[text(c.body["ShardIterator"])]
	case "ReceiveMessage":
		for _, m := range list(object(a.body)["Messages"]) {
			f := fields(m)
			id := cmp.Or(text(fields(f["Attributes"])["MessageDeduplicationId"]), versionOf([]byte(text(f["Body"])))) // none in a standard queue
			t.receipts[text(f["ReceiptHandle"])] = id
		}
	}
}

// The functions below read untyped JSON.

func object(raw []byte) map[string]any {
	var out map[string]any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if d.Decode(&out) != nil {
		return map[string]any{}
	}
	return out
}

func fields(v any) map[string]any { m, _ := v.(map[string]any); return m }

func list(v any) []any { l, _ := v.([]any); return l }

func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	default:
		return ""
	}
}

// scalar is an S or N of an item.
func scalar(item any, name string) string {
	a := fields(fields(item)[name])
	return text(a["S"]) + text(a["N"])
}

// itemName returns an item's key and fence, whatever its table is.
func itemName(item any) string {
	var parts []string
	for _, name := range []string{
		"stream", "constraint", "consumer", "shard", "id", "row", "version", "owner", "counter", "checkpoint",
		":stream", ":after", ":consumer", ":id",
	} {
		if v := scalar(item, name); v != "" && !madeID.MatchString(v) {
			parts = append(parts, v)
		}
	}
	return strings.Join(parts, " ")
}

func payload(v any) []byte {
	raw, err := base64.StdEncoding.DecodeString(text(v))
	if err != nil {
		return nil
	}
	return raw
}

func versionOf(envelope []byte) string {
	e := object(envelope)
	return text(e["stream"]) + "#" + text(e["version"])
}

func queueOf(c *call) string {
	url := text(c.body["QueueUrl"])
	return url[strings.LastIndex(url, "/")+1:]
}
