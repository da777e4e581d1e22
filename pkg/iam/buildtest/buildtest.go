// Package buildtest lets a process of this build behave as one of a later build, for tests of upgrades. The code stays that
// of this build: what a later build stores otherwise is rewritten on the way to AWS, and back on the way from it.
//
// The later build has changed two events of a user:
//
//	org/iam/user/updated   schema version 3 has the names in a list: {"names":["Ann","Lee"]}
//	org/iam/user/disabled  is called org/iam/user/barred
package buildtest

import (
	"bytes"
	"crypto/md5" //nolint:gosec // SQS's checksum
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// Build is a build of the product.
type Build int

// The builds, oldest first.
const (
	// Old is this build.
	Old Build = iota
	// Reader reads what Writer writes, and writes what Old does: the release between them.
	Reader
	// Writer writes the new shapes.
	Writer
)

func (b Build) String() string { return [...]string{"old", "reader", "writer"}[b] }

// Event is how an event is stored.
type Event struct {
	Name   string
	Schema int
	Data   json.RawMessage
}

const (
	updated, updatedV2, updatedV3 = "org/iam/user/updated", 2, 3
	disabled, barred              = "org/iam/user/disabled", "org/iam/user/barred"
)

type (
	namesV2 struct {
		FirstName string `json:"firstName"`
		LastName  string `json:"lastName"`
	}
	namesV3 struct {
		Names [2]string `json:"names"`
	}
)

// New returns the event as Writer stores it.
func (e Event) New() Event {
	switch {
	case e.Name == updated && e.Schema == updatedV2:
		var v2 namesV2
		mustDecode(e.Data, &v2)
		return Event{e.Name, updatedV3, encode(namesV3{Names: [2]string{v2.FirstName, v2.LastName}})}
	case e.Name == disabled:
		return Event{barred, e.Schema, e.Data}
	default:
		return e
	}
}

// Old returns the event as Old stores it.
func (e Event) Old() Event {
	switch {
	case e.Name == updated && e.Schema == updatedV3:
		var v3 namesV3
		mustDecode(e.Data, &v3)
		return Event{e.Name, updatedV2, encode(namesV2{FirstName: v3.Names[0], LastName: v3.Names[1]})}
	case e.Name == barred:
		return Event{disabled, e.Schema, e.Data}
	default:
		return e
	}
}

// Transport connects a process of that build to AWS.
func Transport(b Build, next http.RoundTripper) http.RoundTripper {
	if b == Old {
		return next
	}
	return &connection{build: b, next: next}
}

type connection struct {
	build Build
	next  http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (c *connection) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	_ = r.Body.Close()
	r = r.Clone(r.Context())
	setBody(&r.Body, &r.ContentLength, rewritten(body, c.build.sent()))
	res, err := c.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err = io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	_ = res.Body.Close()
	res.Header = res.Header.Clone()
	res.Header.Del("X-Amz-Crc32") // of the answer before
	setBody(&res.Body, &res.ContentLength, rewritten(body, received()))
	res.Header.Set("Content-Length", strconv.FormatInt(res.ContentLength, 10))
	return res, nil
}

func setBody(body *io.ReadCloser, length *int64, text []byte) {
	*body, *length = io.NopCloser(bytes.NewReader(text)), int64(len(text))
}

// rewriting is what happens to the events in a request or an answer, and to the shape of snapshots, which depends on what events
// a build knows.
type rewriting struct {
	event func(Event) Event
	shape func(string) string
}

const later = "later "

func (b Build) sent() rewriting {
	out := rewriting{
		event: func(e Event) Event { return e },
		shape: func(s string) string { return later + s },
	}
	if b == Writer {
		out.event = Event.New
	}
	return out
}

func received() rewriting {
	return rewriting{event: Event.Old, shape: func(s string) string {
		if own, ok := strings.CutPrefix(s, later); ok {
			return own
		}
		return "former " + s
	}}
}

// rewritten returns the text of a request or an answer with its events rewritten: items of the log, rows of what is parked, and
// messages. Without any it is what it was.
func rewritten(body []byte, by rewriting) []byte {
	if !bytes.Contains(body, []byte(`"shape"`)) && !bytes.Contains(body, []byte("org/iam/user/")) {
		return body
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var value any
	if decoder.Decode(&value) != nil {
		return body
	}
	by.walk(value)
	return encode(value)
}

func (by rewriting) walk(value any) {
	switch value := value.(type) {
	case []any:
		for _, each := range value {
			by.walk(each)
		}
	case map[string]any:
		rewriteItem(value, "name", "schema", by.event)
		rewriteItem(value, "event", "unknown", by.event)
		rewriteMessage(value, by.event)
		for _, name := range []string{"shape", ":shape"} {
			if shape := attribute(value, name, "S"); shape != "" {
				value[name] = map[string]any{"S": by.shape(shape)}
			}
		}
		for _, each := range value {
			by.walk(each)
		}
	}
}

// rewriteItem rewrites an item of DynamoDB that has an event's name and schema version in those attributes.
func rewriteItem(item map[string]any, name, schema string, by func(Event) Event) {
	version, err := strconv.Atoi(attribute(item, schema, "N"))
	if err != nil {
		return
	}
	was := Event{attribute(item, name, "S"), version, json.RawMessage(attribute(item, "data", "S"))}
	_, hasData := item["data"]
	if !hasData {
		was.Data = json.RawMessage(`{}`)
	}
	is := by(was)
	item[name], item[schema] = map[string]any{"S": is.Name}, map[string]any{"N": strconv.Itoa(is.Schema)}
	if hasData {
		item["data"] = map[string]any{"S": string(is.Data)}
	}
}

func attribute(item map[string]any, name, kind string) string {
	value, _ := item[name].(map[string]any)
	text, _ := value[kind].(string)
	return text
}

// rewriteMessage rewrites a message of SQS with an envelope.
func rewriteMessage(message map[string]any, by func(Event) Event) {
	body, _ := message["Body"].(string)
	var envelope map[string]json.RawMessage
	var was Event
	if json.Unmarshal([]byte(body), &envelope) != nil || json.Unmarshal([]byte(body), &was) != nil || was.Name == "" {
		return
	}
	is := by(was)
	envelope["name"], envelope["schema"], envelope["data"] = encode(is.Name), encode(is.Schema), is.Data
	text := encode(envelope)
	sum := md5.Sum(text) //nolint:gosec // as above
	message["Body"], message["MD5OfBody"] = string(text), hex.EncodeToString(sum[:])
}

func encode(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // it was JSON
	}
	return text
}

func mustDecode(data []byte, into any) {
	if err := json.Unmarshal(data, into); err != nil {
		panic(err) // the domain wrote it
	}
}
