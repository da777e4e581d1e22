package eventdocs

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/leftfold/leftfold/pkg/engine/envelope"
	"github.com/leftfold/leftfold/pkg/engine/fifoqueue"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/topology"
)

// AsyncAPI returns the AsyncAPI 3.0 document, in YAML, of all that leaves on Kinesis and SQS. AsyncAPI has no binding
// for Kinesis and none for the attributes of an SQS message; they are in extensions.
// https://www.asyncapi.com/docs/reference/specification/v3.0.0
func (c Catalogue) AsyncAPI() ([]byte, error) {
	messages, err := c.messages()
	if err != nil {
		return nil, err
	}
	channels, operations := c.stream()
	for _, s := range c.Names.Subscriptions() {
		c.queue(s, channels, operations)
	}
	b, err := marshal(object(
		"asyncapi", "3.0.0",
		"info", object(
			"title", "Leftfold's events",
			"version", "1.0.0",
			"description", "Every event of users and roles, on Kinesis as it is recorded and on one SQS FIFO queue for each read model. "+
				"Each is delivered at least once, and order within a stream is likely but not promised: apply version v+1 after v, and nothing else. "+
				"Each message has the schema version of its data. Ignore members that are not described here. "+
				"docs/events.md says what may change and how.",
			"license", object("name", "Apache 2.0", "url", "https://www.apache.org/licenses/LICENSE-2.0"),
		),
		"defaultContentType", "application/json",
		"servers", object(
			"kinesis", server("kinesis"),
			"sqs", server("sqs"),
		),
		"channels", channels,
		"operations", operations,
		"components", object("messages", messages, "schemas", c.schemas()),
	))
	return append([]byte("# Written by: go test ./docs/eventdocs -update\n"), b...), err
}

func server(protocol string) *yaml.Node {
	return object(
		"host", protocol+".{region}.amazonaws.com",
		"protocol", protocol,
		"variables", object("region", object("default", "us-east-1", "description", "AWS region, AWS_REGION of the services")),
	)
}

const (
	streamChannel = "events"
	groupOf       = "$message.payload#/stream"
	deadLetter    = "deadLetter"
)

func (c Catalogue) stream() (channels, operations *yaml.Node) {
	channels = object(streamChannel, object(
		"address", c.Names.Stream,
		"title", "All events",
		"servers", list(ref("servers", "kinesis")),
		"messages", c.messagesOf(nil),
		"x-kinesis", object("partitionKey", groupOf, "maxRecordBytes", envelope.MaxBytes),
	))
	operations = object("publish", object(
		"action", "send",
		"channel", ref("channels", streamChannel),
		"summary", "The streamer publishes each event once it is in the log, and the log again when it has missed a day.",
	))
	return channels, operations
}

// queue adds a queue and the one for what its consumer cannot decode.
func (c Catalogue) queue(s topology.Subscription, channels, operations *yaml.Node) {
	name, dead := strings.TrimSuffix(s.Queue, ".fifo"), topology.DeadLetters(s.Queue)
	deadName := strings.TrimSuffix(dead, ".fifo")
	own := attributes(s.Queue, fifoqueue.Attributes(""))
	own.Content = append(own.Content, object("redrivePolicy", object(
		"deadLetterQueue", object("name", dead), "maxReceiveCount", fifoqueue.MaxReceiveCount,
	)).Content...)
	add := func(to *yaml.Node, name string, value *yaml.Node) {
		to.Content = append(to.Content, object(name, value).Content...)
	}
	message := object("messageGroupId", groupOf, "messageDeduplicationId", "{stream}#{version} of the payload")
	add(channels, name, object(
		"address", s.Queue,
		"title", "Events of "+strings.Join(s.Categories, " and "),
		"servers", list(ref("servers", "sqs")),
		"messages", c.messagesOf(s.Categories),
		"bindings", object("sqs", object(
			"queue", own, "deadLetterQueue", attributes(dead, fifoqueue.DeadLetterAttributes()), "bindingVersion", "0.2.0",
		)),
		"x-sqs-message", message,
	))
	add(channels, deadName, object(
		"address", dead,
		"title", "What the consumer of "+s.Queue+" could not decode",
		"servers", list(ref("servers", "sqs")),
		"messages", object(deadLetter, ref("components", "messages", deadLetter)),
		"bindings", object("sqs", object("queue", attributes(dead, fifoqueue.DeadLetterAttributes()), "bindingVersion", "0.2.0")),
	))
	add(operations, "routeTo"+name, object(
		"action", "send",
		"channel", ref("channels", name),
		"summary", "The broker sends the bytes that it read from Kinesis.",
	))
	add(operations, "setAsideFrom"+name, object(
		"action", "send",
		"channel", ref("channels", deadName),
		"summary", "The projector sets aside what is not a valid event.",
	))
}

// attributes are a queue's, as it is created with them.
func attributes(name string, a map[string]string) *yaml.Node {
	number := func(attribute string) any {
		if n, err := strconv.Atoi(a[attribute]); err == nil {
			return n
		}
		return nil
	}
	return object(
		"name", name,
		"fifoQueue", a["FifoQueue"] == "true",
		"deduplicationScope", a["DeduplicationScope"],
		"fifoThroughputLimit", a["FifoThroughputLimit"],
		"visibilityTimeout", number("VisibilityTimeout"),
		"messageRetentionPeriod", number("MessageRetentionPeriod"),
	)
}

// messagesOf refers to the messages of these categories, or of all.
func (c Catalogue) messagesOf(categories []string) *yaml.Node {
	out := object()
	c.each(func(a Aggregate, e Event, v Version) {
		if categories == nil || slices.Contains(categories, a.Category) {
			key := keyOf(e, v)
			out.Content = append(out.Content, object(key, ref("components", "messages", key)).Content...)
		}
	})
	return out
}

func (c Catalogue) messages() (*yaml.Node, error) {
	out := object()
	var failed error
	c.each(func(a Aggregate, e Event, v Version) {
		message, err := message(a, e, v)
		if err != nil && failed == nil {
			failed = err
		}
		out.Content = append(out.Content, object(keyOf(e, v), message).Content...)
	})
	out.Content = append(out.Content, object(deadLetter, object(
		"summary", "A message's body as it came",
		"contentType", "text/plain",
		"payload", object("type", "string"),
	)).Content...)
	return out, failed
}

func message(a Aggregate, e Event, v Version) (*yaml.Node, error) {
	key := keyOf(e, v)
	var examples []*yaml.Node
	for _, data := range v.Examples {
		text, err := example(a, e, v, data)
		if err != nil {
			return nil, err
		}
		examples = append(examples, object("payload", json.RawMessage(text)))
	}
	members := object(
		"stream", object("pattern", "^"+a.Category+"/[^/]+$"),
		"name", object("const", e.Name),
		"schema", object("const", v.Schema),
		"data", ref("components", "schemas", key),
	)
	if current(e, v) && len(e.Facts) > 0 {
		var facts []*yaml.Node
		for _, f := range e.Facts {
			facts = append(facts, object(
				"if", object("properties", object("aggregate", object("const", f.Aggregate))),
				"then", object("properties", object("data", ref("components", "schemas", f.Name))),
			))
		}
		members.Content = append(members.Content, object("enrichment", object("items", object("allOf", list(facts...)))).Content...)
	}
	return object(
		"name", key,
		"title", fmt.Sprintf("%s, schema version %d", e.Name, v.Schema),
		"summary", summary(e, v),
		"correlationId", object("location", "$message.payload#/metadata/correlationId"),
		"payload", object("allOf", list(ref("components", "schemas", "envelope"), object("properties", members))),
		"examples", list(examples...),
	), nil
}

func summary(e Event, v Version) string {
	switch {
	case e.Retired && e.DecodesAs != e.Name:
		return "Retired: not written any more. It means what " + e.DecodesAs + " means."
	case e.Retired:
		return "Retired: not written any more. It " + e.Doc + "."
	case !current(e, v):
		return "Not written any more."
	default:
		return upper(e.Doc) + "."
	}
}

func current(e Event, v Version) bool { return !e.Retired && v.Schema == len(e.Versions) }

// example is the event as it travels.
func example(a Aggregate, e Event, v Version, data json.RawMessage) ([]byte, error) {
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
	if current(e, v) {
		for _, f := range e.Facts {
			r.Enrichment = append(r.Enrichment, eventsourcing.Enrichment{Aggregate: f.Aggregate, ID: f.ID, Data: f.Example})
		}
	}
	return envelope.Encode(r)
}

// keyOf names a shape of an event, such as "org.iam.user.updated.v2".
func keyOf(e Event, v Version) string {
	return fmt.Sprintf("%s.v%d", strings.ReplaceAll(e.Name, "/", "."), v.Schema)
}

func (c Catalogue) each(do func(Aggregate, Event, Version)) {
	for _, a := range c.Aggregates {
		for _, e := range a.Events {
			for _, v := range e.Versions {
				do(a, e, v)
			}
		}
	}
}

func ref(path ...string) *yaml.Node { return object("$ref", "#/"+strings.Join(path, "/")) }
