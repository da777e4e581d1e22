// Package envelope encodes an event as JSON for Kinesis and SQS, and decodes it.
package envelope

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// MaxBytes is the most bytes of an envelope and its partition key, the stream, together. 1 MiB is the limit of a message in
// SQS, and of a record in Kinesis unless the stream is set up for more.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
// https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html
const MaxBytes = 1 << 20

// ErrTooLarge means that an envelope has more than MaxBytes.
var ErrTooLarge = errors.New("envelope too large")

// Encode returns r as a JSON object. Its data and enrichment data are copied byte for byte, except for U+FFFE and U+FFFF:
// SQS refuses those, so they become escapes, which mean the same.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
func Encode(r eventsourcing.Record) ([]byte, error) {
	if err := r.Validate(); err != nil {
		return nil, fmt.Errorf("encode envelope of %s version %d: %w", r.Stream, r.Version, err)
	}
	w := writer{'{'}
	w.field("id", r.ID)
	w.field("stream", r.Stream.String())
	w.field("version", r.Version)
	w.field("name", r.Name)
	w.field("schema", r.Schema)
	w.verbatim("data", r.Data)
	if len(r.Enrichment) > 0 {
		w.enrichment(r.Enrichment)
	}
	if !r.Metadata.IsZero() {
		w.metadata(r.Metadata)
	}
	w.field("recordedAt", r.RecordedAt.UTC().Format(eventsourcing.RecordedAtLayout))
	w = append(w, '}')
	b := bytes.ReplaceAll(w, []byte("\ufffe"), []byte(`\ufffe`)) // in valid JSON it occurs in strings only
	b = bytes.ReplaceAll(b, []byte("\uffff"), []byte(`\uffff`))
	if n := len(b) + len(r.Stream.String()); n > MaxBytes {
		return nil, fmt.Errorf("encode envelope of %s version %d: %w: %d bytes with its key", r.Stream, r.Version, ErrTooLarge, n)
	}
	return b, nil
}

// writer builds a JSON object field by field: json.Marshal would compact raw messages.
type writer []byte

func (w *writer) field(name string, value any) { w.verbatim(name, encoded(value)) }

func (w *writer) verbatim(name string, value json.RawMessage) {
	if last := (*w)[len(*w)-1]; last != '{' {
		*w = append(*w, ',')
	}
	*w = append(append(*w, encoded(name)...), ':')
	*w = append(*w, value...)
}

func encoded(value any) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(value) // text and numbers cannot fail
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func (w *writer) enrichment(list []eventsourcing.Enrichment) {
	array := []byte{'['}
	for i, e := range list {
		if i > 0 {
			array = append(array, ',')
		}
		object := writer{'{'}
		object.field("aggregate", e.Aggregate)
		object.field("id", e.ID)
		object.verbatim("data", e.Data)
		array = append(append(array, object...), '}')
	}
	w.verbatim("enrichment", append(array, ']'))
}

func (w *writer) metadata(md eventsourcing.Metadata) {
	object := writer{'{'}
	for _, m := range metadataFields(&md) {
		if *m.value != "" {
			object.field(m.name, *m.value)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(md.Extra)) {
		object.field(name, md.Extra[name])
	}
	w.verbatim("metadata", json.RawMessage(append(object, '}')))
}

type metadataField struct {
	name  string
	value *string
}

func metadataFields(md *eventsourcing.Metadata) []metadataField {
	return []metadataField{
		{"correlationId", &md.CorrelationID}, {"causationId", &md.CausationID}, {"actor", &md.Actor}, {"traceparent", &md.Traceparent},
	}
}

func decodeMetadata(members map[string]json.RawMessage) (md eventsourcing.Metadata, err error) {
	for _, m := range metadataFields(&md) {
		if raw, ok := members[m.name]; ok {
			if err := json.Unmarshal(raw, m.value); err != nil {
				return md, fmt.Errorf("field \"metadata.%s\": %w", m.name, err)
			}
			delete(members, m.name)
		}
	}
	for name, raw := range members {
		var value string
		if json.Unmarshal(raw, &value) != nil {
			continue
		}
		if md.Extra == nil {
			md.Extra = map[string]string{}
		}
		md.Extra[name] = value
	}
	return md, nil
}

// Decode is the inverse of Encode. It ignores unknown fields. Its error names the field that is missing or wrong, and is
// about the bytes alone: another attempt cannot help.
func Decode(b []byte) (eventsourcing.Record, error) {
	if len(b) > MaxBytes {
		return eventsourcing.Record{}, fmt.Errorf("decode envelope: %w: %d bytes", ErrTooLarge, len(b))
	}
	if !utf8.Valid(b) {
		return eventsourcing.Record{}, errors.New("decode envelope: not valid UTF-8")
	}
	r, err := decode(b)
	if err == nil {
		err = r.Validate()
	}
	if err != nil {
		return eventsourcing.Record{}, fmt.Errorf("decode envelope: %w", err)
	}
	return r, nil
}

func decode(b []byte) (eventsourcing.Record, error) {
	var fields map[string]json.RawMessage // not a struct: encoding/json would ignore the case of names
	if err := json.Unmarshal(b, &fields); err != nil {
		return eventsourcing.Record{}, err
	}
	var r eventsourcing.Record
	var stream string
	var metadata map[string]json.RawMessage
	for _, f := range []struct {
		name     string
		into     any
		required bool
	}{
		{"id", &r.ID, true},
		{"stream", &stream, true},
		{"version", &r.Version, true},
		{"name", &r.Name, true},
		{"schema", &r.Schema, true},
		{"data", &r.Data, true},
		{"enrichment", &r.Enrichment, false},
		{"metadata", &metadata, false},
		{"recordedAt", &r.RecordedAt, true},
	} {
		raw, ok := fields[f.name]
		if !ok && f.required {
			return eventsourcing.Record{}, fmt.Errorf("field %q: missing", f.name)
		}
		if !ok {
			continue
		}
		if err := json.Unmarshal(raw, f.into); err != nil {
			if _, ok := errors.AsType[*time.ParseError](err); ok {
				err = errors.New("not a time") // which does not quote it
			}
			return eventsourcing.Record{}, fmt.Errorf("field %q: %w", f.name, err)
		}
	}
	var err error
	if r.Stream, err = eventsourcing.ParseStreamID(stream); err != nil {
		return eventsourcing.Record{}, fmt.Errorf("field %q: %w", "stream", err)
	}
	if r.Metadata, err = decodeMetadata(metadata); err != nil {
		return eventsourcing.Record{}, err
	}
	r.RecordedAt = r.RecordedAt.UTC().Truncate(time.Millisecond)
	return r, nil
}
