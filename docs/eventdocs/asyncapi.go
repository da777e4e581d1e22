package eventdocs

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/leftfold/leftfold/pkg/engine/envelope"
	"github.com/leftfold/leftfold/pkg/engine/fifoqueue"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/topology"
)

type object = map[string]any

//go:embed fixed.yaml
var fixed []byte

// AsyncAPI returns the AsyncAPI 3.0 document, in YAML, of all that leaves on Kinesis and SQS. AsyncAPI has no binding
// for Kinesis and none for the attributes of an SQS message; they are in extensions.
// https://www.asyncapi.com/docs/reference/specification/v3.0.0
func (c Catalogue) AsyncAPI() ([]byte, error) {
	var out struct {
		AsyncAPI           string            `yaml:"asyncapi"`
		Info               object            `yaml:"info"`
		DefaultContentType string            `yaml:"defaultContentType"`
		Servers            object            `yaml:"servers"`
		Channels           map[string]object `yaml:"channels"`
		Operations         object            `yaml:"operations"`
		Components         struct {
			Messages object `yaml:"messages"`
			Schemas  object `yaml:"schemas"`
		} `yaml:"components"`
	}
	if err := yaml.Unmarshal(fixed, &out); err != nil {
		return nil, fmt.Errorf("read fixed.yaml: %w", err)
	}
	all, byCategory := object{}, map[string]object{} // references to messages
	for _, a := range c.Aggregates {
		byCategory[a.Category] = object{}
		for _, e := range a.Events {
			for _, v := range e.Versions {
				key := keyOf(e, v)
				message, err := message(a, e, v)
				if err != nil {
					return nil, fmt.Errorf("describe %s: %w", key, err)
				}
				out.Components.Messages[key], out.Components.Schemas[key] = message, v.Shape.schema()
				byCategory[a.Category][key] = ref("components/messages/" + key)
			}
		}
		maps.Copy(all, byCategory[a.Category])
	}
	for _, f := range c.Facts {
		out.Components.Schemas[f.Name] = f.Shape.schema()
	}
	maps.Copy(out.Channels["events"], object{
		"address": c.Names.Stream, "messages": all,
		"x-kinesis": object{"partitionKey": groupOf, "maxRecordBytes": envelope.MaxBytes},
	})
	for _, s := range c.Names.Subscriptions() {
		carried := object{}
		for _, category := range s.Categories {
			maps.Copy(carried, byCategory[category])
		}
		addQueue(s, carried, out.Channels, out.Operations)
	}
	b := bytes.NewBufferString("# Written by: go test ./docs/eventdocs -update\n")
	encoder := yaml.NewEncoder(b)
	encoder.SetIndent(2)
	if err := encoder.Encode(out); err != nil {
		return nil, fmt.Errorf("write YAML: %w", err)
	}
	return b.Bytes(), encoder.Close()
}

const groupOf = "$message.payload#/stream"

// addQueue adds a queue and the one for what its consumer cannot decode.
func addQueue(s topology.Subscription, messages object, channels map[string]object, operations object) {
	dead := topology.DeadLetters(s.Queue)
	name, deadName := strings.TrimSuffix(s.Queue, ".fifo"), strings.TrimSuffix(dead, ".fifo")
	own, deadLetters := binding(s.Queue, fifoqueue.Attributes("")), binding(dead, fifoqueue.DeadLetterAttributes())
	own["redrivePolicy"] = object{"deadLetterQueue": object{"name": dead}, "maxReceiveCount": fifoqueue.MaxReceiveCount}
	channels[name] = object{
		"address":       s.Queue,
		"title":         "Events of " + strings.Join(s.Categories, " and "),
		"servers":       []object{ref("servers/sqs")},
		"messages":      messages,
		"bindings":      object{"sqs": object{"queue": own, "deadLetterQueue": deadLetters, "bindingVersion": "0.2.0"}},
		"x-sqs-message": object{"messageGroupId": groupOf, "messageDeduplicationId": "{stream}#{version} of the payload"},
	}
	channels[deadName] = object{
		"address":  dead,
		"title":    "What the consumer of " + s.Queue + " could not decode",
		"servers":  []object{ref("servers/sqs")},
		"messages": object{"deadLetter": ref("components/messages/deadLetter")},
		"bindings": object{"sqs": object{"queue": deadLetters, "bindingVersion": "0.2.0"}},
	}
	operations["routeTo"+name] = object{
		"action": "send", "channel": ref("channels/" + name), "summary": "The broker sends the bytes that it read from Kinesis.",
	}
	operations["setAsideFrom"+name] = object{
		"action": "send", "channel": ref("channels/" + deadName), "summary": "The projector sets aside what is not a valid event.",
	}
}

// binding describes a queue by the attributes that it is created with, which AsyncAPI names as SQS does but for the case.
func binding(name string, attributes map[string]string) object {
	out := object{"name": name}
	for key, value := range attributes {
		out[strings.ToLower(key[:1])+key[1:]] = &yaml.Node{Kind: yaml.ScalarNode, Value: value} // a number or a boolean if it looks like one
	}
	return out
}

func message(a Aggregate, e Event, v Version) (object, error) {
	key := keyOf(e, v)
	var examples []object
	for _, data := range v.Examples {
		text, err := envelope.Encode(a.record(e, v, data))
		if err != nil {
			return nil, err
		}
		example := object{}
		if err := yaml.Unmarshal(text, &example); err != nil { // as JSON, numbers would be floats
			return nil, err
		}
		examples = append(examples, object{"payload": example})
	}
	members := object{
		"stream": object{"pattern": "^" + a.Category + "/[^/]+$"},
		"name":   object{"const": e.Name},
		"schema": object{"const": v.Schema},
		"data":   ref("components/schemas/" + key),
	}
	if v.Written && e.Fact != nil {
		members["enrichment"] = object{"items": object{"allOf": []object{{
			"if":   object{"properties": object{"aggregate": object{"const": e.Fact.Aggregate}}},
			"then": object{"properties": object{"data": ref("components/schemas/" + e.Fact.Name)}},
		}}}}
	}
	return object{
		"name":          key,
		"title":         fmt.Sprintf("%s, schema version %d", e.Name, v.Schema),
		"summary":       summary(e, v),
		"correlationId": object{"location": "$message.payload#/metadata/correlationId"},
		"payload":       object{"allOf": []object{ref("components/schemas/envelope"), {"properties": members}}},
		"examples":      examples,
	}, nil
}

func summary(e Event, v Version) string {
	switch {
	case e.Retired && e.DecodesAs != e.Name:
		return "Retired: not written any more. It means what " + e.DecodesAs + " means."
	case e.Retired:
		return "Retired: not written any more. It " + e.Doc + "."
	case v.Schema > e.Writes:
		return "Not written yet. " + upper(e.Doc) + "."
	case !v.Written:
		return "Not written any more."
	default:
		return upper(e.Doc) + "."
	}
}

// record returns an example of the event as it is stored.
func (a Aggregate) record(e Event, v Version, data json.RawMessage) eventsourcing.Record {
	r := eventsourcing.Record{
		ID:     "01920b7c-6a10-7b2f-8d4e-5c6f7a8b9c0d",
		Stream: eventsourcing.StreamID{Category: a.Category, ID: a.ID}, Version: 2,
		Name: e.Name, Schema: v.Schema, Data: data,
		Metadata:   eventsourcing.Metadata{CorrelationID: "01920b7c-69ff-7e11-9a2b-0f1e2d3c4b5a", Actor: "anonymous"},
		RecordedAt: time.Date(2026, time.March, 1, 12, 0, 0, 7_000_000, time.UTC),
	}
	if e.Name == a.Opening {
		r.Version = 1
	}
	if v.Written && e.Fact != nil {
		r.Enrichment = []eventsourcing.Enrichment{e.Fact.Enrichment}
	}
	return r
}

// keyOf names a shape of an event, such as "org.iam.user.updated.v2".
func keyOf(e Event, v Version) string {
	return fmt.Sprintf("%s.v%d", strings.ReplaceAll(e.Name, "/", "."), v.Schema)
}

func ref(path string) object { return object{"$ref": "#/" + path} }
