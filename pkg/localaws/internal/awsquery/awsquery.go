// Package awsquery translates the AWS query protocol, in which requests are forms and answers are XML, into the JSON protocol
// and back. SDKs spoke with SQS in it until 2023, and still speak with STS in it.
//
// Source: https://smithy.io/2.0/aws/protocols/aws-query-protocol.html
package awsquery

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
)

// Shapes say how an action's members are called in the query protocol, where they are not called as in JSON.
type Shapes struct {
	Namespace string            // of the XML
	Lists     map[string]string // a form's lists: "TagKey.1" is of "TagKeys" in JSON
	Elements  map[string]string // an answer's lists: "QueueUrls" in JSON is a number of elements "QueueUrl"
	Maps      map[string]Map    // maps by their entries: "Tag.1.Key" is of "Tags" in JSON
	Integers  []string          // members that are numbers in JSON
}

// Map is a map in JSON, and the names of an entry's key and value in the query protocol.
type Map struct{ Name, Key, Value string }

// Protocol implements awsjson.Protocol for one request.
type Protocol struct {
	Shapes    Shapes
	Action    string
	RequestID string
}

var _ awsjson.Protocol = Protocol{}

// ContentType implements awsjson.Protocol.
func (Protocol) ContentType() string { return "text/xml" }

// maxDepth is more than any member has: "SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.StringValue" has 6 names.
const maxDepth = 8

// Input implements awsjson.Protocol.
func (p Protocol) Input(body []byte) ([]byte, error) {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, malformed("the form cannot be read: %s", err)
	}
	root := map[string]any{}
	for name, values := range form {
		path := strings.Split(name, ".")
		if isProtocol(path[0]) {
			continue
		}
		if len(path) > maxDepth || !put(root, path, values[0]) {
			return nil, malformed("parameter %s is not supported", name)
		}
	}
	return json.Marshal(p.Shapes.object(root))
}

func malformed(format string, args ...any) error {
	e := awsjson.Errorf("MalformedQueryString", format, args...)
	e.Status = http.StatusNotFound
	return e
}

// isProtocol reports whether a parameter is one of every request; signatures are not verified.
//
// Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonParameters.html
func isProtocol(name string) bool {
	return strings.HasPrefix(name, "X-Amz-") || slices.Contains([]string{
		"Action", "Version", "AWSAccessKeyId", "Expires", "SecurityToken", "Signature", "SignatureMethod", "SignatureVersion", "Timestamp",
	}, name)
}

// put sets the value at a path; false if the path is both a value and a prefix of another.
func put(root map[string]any, path []string, value string) bool {
	for _, name := range path[:len(path)-1] {
		if root[name] == nil {
			root[name] = map[string]any{}
		}
		next, ok := root[name].(map[string]any)
		if !ok {
			return false
		}
		root = next
	}
	last := path[len(path)-1]
	if root[last] != nil {
		return false
	}
	root[last] = value
	return true
}

// object returns the members of an object in JSON.
func (s Shapes) object(members map[string]any) map[string]any {
	out := map[string]any{}
	for name, member := range members {
		nested, _ := member.(map[string]any)
		list, entries := s.Lists[name], s.Maps[name]
		if (list != "" || entries.Name != "") && member == "" {
			nested = map[string]any{} // an empty list or map
		}
		switch {
		case nested == nil && slices.Contains(s.Integers, name):
			out[name] = integer(member)
		case nested == nil:
			out[name] = member
		case list != "":
			elements := []any{}
			for _, element := range numbered(nested) {
				elements = append(elements, s.value(element))
			}
			out[list] = elements
		case entries.Name != "":
			out[entries.Name] = s.entries(entries, nested)
		default:
			out[name] = s.object(nested)
		}
	}
	return out
}

func (s Shapes) value(v any) any {
	if nested, ok := v.(map[string]any); ok {
		return s.object(nested)
	}
	return v
}

// entries returns a map in JSON. A single entry may have no number.
func (s Shapes) entries(m Map, form map[string]any) map[string]any {
	if form[m.Key] != nil {
		form = map[string]any{"1": form}
	}
	out := map[string]any{}
	for _, entry := range numbered(form) {
		members, _ := entry.(map[string]any)
		key, _ := members[m.Key].(string)
		out[key] = s.value(members[m.Value])
	}
	return out
}

// numbered returns the elements in the order of their numbers.
func numbered(list map[string]any) []any {
	number := func(name string) int { n, _ := strconv.Atoi(name); return n } // what has no number comes first
	var out []any
	for _, name := range slices.SortedFunc(maps.Keys(list), func(a, b string) int { return number(a) - number(b) }) {
		out = append(out, list[name])
	}
	return out
}

// integer leaves it to the operation to refuse what is no number.
func integer(v any) any {
	if n, err := strconv.Atoi(fmt.Sprint(v)); err == nil {
		return n
	}
	return v
}

// Output implements awsjson.Protocol.
func (p Protocol) Output(out any) ([]byte, error) {
	encoded, err := json.Marshal(out)
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.UseNumber()
	members := map[string]any{}
	if err := decoder.Decode(&members); err != nil {
		return nil, err
	}
	w := &writer{shapes: p.Shapes}
	w.open(p.Action+"Response", p.Shapes.Namespace)
	if reflect.Indirect(reflect.ValueOf(out)).NumField() > 0 { // an action without output has no result
		w.element(p.Action+"Result", members)
	}
	w.element("ResponseMetadata", map[string]any{"RequestId": p.RequestID})
	w.end(p.Action + "Response")
	return w.out.Bytes(), nil
}

// Refusal implements awsjson.Protocol.
func (p Protocol) Refusal(e *awsjson.Error, _ string) ([]byte, error) {
	code, fault := e.Code, "Sender"
	if e.QueryCode != "" {
		code, fault, _ = strings.Cut(e.QueryCode, ";")
	} else if e.Status >= http.StatusInternalServerError {
		fault = "Receiver"
	}
	w := &writer{shapes: p.Shapes}
	w.open("ErrorResponse", p.Shapes.Namespace)
	w.element("Error", map[string]any{"Type": fault, "Code": code, "Message": e.Message})
	w.element("RequestId", p.RequestID)
	w.end("ErrorResponse")
	return w.out.Bytes(), nil
}

// writer writes members in JSON as XML. Its writes cannot fail.
type writer struct {
	shapes Shapes
	out    bytes.Buffer
}

func (w *writer) open(name, namespace string) {
	w.out.WriteString("<" + name + ` xmlns="` + namespace + `">`)
}
func (w *writer) start(name string) { w.out.WriteString("<" + name + ">") }
func (w *writer) end(name string)   { w.out.WriteString("</" + name + ">") }

func (w *writer) element(name string, v any) {
	w.start(name)
	if members, ok := v.(map[string]any); ok {
		for _, member := range slices.Sorted(maps.Keys(members)) {
			w.member(member, members[member])
		}
	} else {
		_ = xml.EscapeText(&w.out, []byte(fmt.Sprint(v)))
	}
	w.end(name)
}

func (w *writer) member(name string, v any) {
	if list, ok := v.([]any); ok {
		for _, each := range list {
			w.element(w.shapes.Elements[name], each)
		}
		return
	}
	entry, m := w.entryOf(name)
	if entry == "" {
		w.element(name, v)
		return
	}
	values, _ := v.(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(values)) {
		w.start(entry)
		w.element(m.Key, key)
		w.element(m.Value, values[key])
		w.end(entry)
	}
}

func (w *writer) entryOf(name string) (string, Map) {
	for entry, m := range w.shapes.Maps {
		if m.Name == name {
			return entry, m
		}
	}
	return "", Map{}
}
