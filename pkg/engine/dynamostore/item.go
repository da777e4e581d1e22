package dynamostore

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	streams "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"

	"github.com/leftfold/leftfold/pkg/engine/internal/dynamo"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// The attributes of the tables. They are part of the storage contract.
const (
	attrStream     = "stream"
	attrVersion    = "version"
	attrID         = "id"
	attrName       = "name"
	attrSchema     = "schema"
	attrData       = "data" // JSON text, byte for byte as encoded
	attrEnrichment = "enrichment"
	attrMetadata   = "metadata"
	attrRecordedAt = "recorded_at"

	attrAggregate = "aggregate" // in enrichment, beside id and data

	attrCorrelation = "correlation" // in metadata
	attrCausation   = "causation"
	attrActor       = "actor"
	attrTraceparent = "traceparent"

	attrConstraint = "constraint" // claims; stream is the owner

	attrScope = "scope"  // scopes, beside version
	ofCounter = "count." // precedes a counter's name

	attrFingerprint = "fingerprint" // commands
	attrOutcome     = "outcome"
	attrExpiresAt   = "expires_at" // seconds since the Unix epoch, as time to live requires

	attrEventID = "event_id" // snapshots, beside stream and version
	attrShape   = "shape"
	attrState   = "state" // JSON text
)

type item = dynamo.Item

func eventKey(stream eventsourcing.StreamID, version eventsourcing.Version) item {
	return item{attrStream: dynamo.Text(stream.String()), attrVersion: dynamo.Number(version)}
}

// itemOf is the inverse of recordOf, for a valid record.
func itemOf(r eventsourcing.Record) item {
	it := eventKey(r.Stream, r.Version)
	it[attrID], it[attrName], it[attrSchema] = dynamo.Text(r.ID), dynamo.Text(r.Name), dynamo.Number(r.Schema)
	it[attrData] = dynamo.Text(string(r.Data))
	it[attrRecordedAt] = dynamo.Text(r.RecordedAt.UTC().Format(eventsourcing.RecordedAtLayout))
	if md := metadataItem(r.Metadata); len(md) > 0 {
		it[attrMetadata] = &types.AttributeValueMemberM{Value: md}
	}
	var enrichment []types.AttributeValue
	for _, e := range r.Enrichment {
		enrichment = append(enrichment, &types.AttributeValueMemberM{Value: item{
			attrAggregate: dynamo.Text(e.Aggregate), attrID: dynamo.Text(e.ID), attrData: dynamo.Text(string(e.Data)),
		}})
	}
	if enrichment != nil {
		it[attrEnrichment] = &types.AttributeValueMemberL{Value: enrichment}
	}
	return it
}

// metadataFields binds the attributes of the metadata to its fields; other attributes are Extra.
func metadataFields(md *eventsourcing.Metadata) map[string]*string {
	return map[string]*string{
		attrCorrelation: &md.CorrelationID, attrCausation: &md.CausationID, attrActor: &md.Actor, attrTraceparent: &md.Traceparent,
	}
}

func metadataItem(md eventsourcing.Metadata) item {
	it := item{}
	for name, value := range md.Extra {
		it[name] = dynamo.Text(value)
	}
	for name, value := range metadataFields(&md) {
		if *value != "" {
			it[name] = dynamo.Text(*value)
		}
	}
	return it
}

func metadataOf(f *fields) (md eventsourcing.Metadata) {
	known := metadataFields(&md)
	for name, attribute := range f.item {
		if field, ok := known[name]; ok {
			*field = f.text(name)
		} else if s, ok := attribute.(*types.AttributeValueMemberS); ok {
			if md.Extra == nil {
				md.Extra = map[string]string{}
			}
			md.Extra[name] = s.Value
		}
	}
	return md
}

// FromStreamImage returns the record in the new image of an event log's item, as DynamoDB Streams delivers it. Its error,
// an *ItemError, concerns the image only: a retry fails too.
func FromStreamImage(image map[string]streams.AttributeValue) (eventsourcing.Record, error) {
	it, err := attributevalue.FromDynamoDBStreamsMap(image)
	if err != nil {
		return eventsourcing.Record{}, &ItemError{err: fmt.Errorf("convert stream image: %w", err)}
	}
	return recordOf(it)
}

// ItemError means that an item of the log is no event. It is an eventsourcing.ErrLogHole.
type ItemError struct {
	// Stream and Version are the item's key as it is stored.
	Stream, Version string

	err error
}

func (e *ItemError) Error() string {
	return fmt.Sprintf("event %s version %s: %v", showStream(e.Stream), cmp.Or(e.Version, "?"), e.err)
}

// Unwrap returns ErrLogHole and what is wrong with the item.
func (e *ItemError) Unwrap() []error { return []error{eventsourcing.ErrLogHole, e.err} }

// Key returns the item's key.
func (e *ItemError) Key() (stream, version string) { return e.Stream, e.Version }

// recordOf is the inverse of itemOf. Its error is an *ItemError.
func recordOf(it item) (eventsourcing.Record, error) {
	f := fields{item: it}
	r := eventsourcing.Record{
		Version: eventsourcing.Version(f.number(attrVersion, 64)),
		ID:      f.text(attrID), Name: f.text(attrName), Data: f.json(attrData),
		Schema: int(f.number(attrSchema, 31)), //nolint:gosec // 31 bits fit
	}
	stream := f.text(attrStream)
	r.RecordedAt = f.time(attrRecordedAt)
	for i, e := range f.list(attrEnrichment) {
		in := f.within(fmt.Sprintf("%s[%d]", attrEnrichment, i), e)
		r.Enrichment = append(r.Enrichment, eventsourcing.Enrichment{
			Aggregate: in.text(attrAggregate), ID: in.text(attrID), Data: in.json(attrData),
		})
		f.err = in.err
	}
	if md, ok := it[attrMetadata]; ok {
		in := f.within(attrMetadata, md)
		r.Metadata = metadataOf(&in)
		f.err = in.err
	}
	err := f.err
	if err == nil && r.Version == 0 {
		err = fmt.Errorf("attribute %q: not 1 or more", attrVersion)
	}
	if err == nil {
		r.Stream, err = eventsourcing.ParseStreamID(stream)
	}
	if err != nil {
		return eventsourcing.Record{}, &ItemError{Stream: textIn(it, attrStream), Version: strings.Trim(show(it[attrVersion]), "?"), err: err}
	}
	return r, nil
}

func resultItem(r eventsourcing.CommandResult) item {
	return item{
		attrID: dynamo.Text(r.ID), attrFingerprint: dynamo.Text(r.Fingerprint), attrExpiresAt: dynamo.Number(r.ExpiresAt.Unix()),
		attrOutcome: &types.AttributeValueMemberB{Value: append([]byte{}, r.Outcome...)}, // the SDK sends nil as null
	}
}

func resultOf(it item) (eventsourcing.CommandResult, error) {
	f := fields{item: it}
	r := eventsourcing.CommandResult{
		ID: f.text(attrID), Fingerprint: f.text(attrFingerprint), Outcome: f.bytes(attrOutcome),
		ExpiresAt: time.Unix(int64(f.number(attrExpiresAt, 63)), 0).UTC(), //nolint:gosec // 63 bits fit
	}
	if f.err != nil {
		return eventsourcing.CommandResult{}, fmt.Errorf("%w: %w", eventsourcing.ErrResultUnreadable, f.err)
	}
	return r, nil
}

// fields reads the attributes of an item and keeps the first error.
type fields struct {
	item item
	path string
	err  error
}

func (f *fields) text(name string) string {
	return attribute(f, name, func(v *types.AttributeValueMemberS) (string, error) { return v.Value, nil })
}

func (f *fields) number(name string, bits int) uint64 {
	return attribute(f, name, func(v *types.AttributeValueMemberN) (uint64, error) {
		return strconv.ParseUint(v.Value, 10, bits)
	})
}

func (f *fields) time(name string) time.Time {
	return attribute(f, name, func(v *types.AttributeValueMemberS) (time.Time, error) {
		at, err := time.Parse(eventsourcing.RecordedAtLayout, v.Value)
		if err != nil {
			return at, errors.New("not a time") // without the text, which may be personal data
		}
		return at, nil
	})
}

func (f *fields) bytes(name string) []byte {
	return attribute(f, name, func(v *types.AttributeValueMemberB) ([]byte, error) { return v.Value, nil })
}

func (f *fields) json(name string) json.RawMessage {
	return attribute(f, name, func(v *types.AttributeValueMemberS) (json.RawMessage, error) {
		if !json.Valid([]byte(v.Value)) {
			return nil, fmt.Errorf("not JSON")
		}
		return json.RawMessage(v.Value), nil
	})
}

// list returns a list, or nil if the attribute is missing.
func (f *fields) list(name string) []types.AttributeValue {
	if _, ok := f.item[name]; !ok {
		return nil
	}
	return attribute(f, name, func(v *types.AttributeValueMemberL) ([]types.AttributeValue, error) { return v.Value, nil })
}

// within returns the fields of a map.
func (f *fields) within(name string, v types.AttributeValue) fields {
	in := fields{path: f.path + name + ".", err: f.err}
	if m, ok := v.(*types.AttributeValueMemberM); ok {
		in.item = m.Value
	} else if in.err == nil {
		in.err = fmt.Errorf("attribute %q: is %s, not M", f.path+name, typeOf(v))
	}
	return in
}

func attribute[A types.AttributeValue, V any](f *fields, name string, value func(A) (V, error)) V {
	var zero V
	if f.err != nil {
		return zero
	}
	got, ok := f.item[name]
	if !ok {
		f.err = fmt.Errorf("attribute %q: missing", f.path+name)
		return zero
	}
	a, ok := got.(A)
	if !ok {
		f.err = fmt.Errorf("attribute %q: is %s, not %s", f.path+name, typeOf(got), typeOf(*new(A)))
		return zero
	}
	v, err := value(a)
	if err != nil {
		f.err = fmt.Errorf("attribute %q: %w", f.path+name, err)
		return zero
	}
	return v
}

// typeOf returns DynamoDB's name of the type, such as "S".
func typeOf(v types.AttributeValue) string {
	_, name, _ := strings.Cut(fmt.Sprintf("%T", v), "Member")
	return name
}

// showStream is show for a stream. What is not a valid stream ID could be anything, so it is not shown.
func showStream(text string) string {
	stream, err := eventsourcing.ParseStreamID(text)
	if err != nil {
		return "?"
	}
	return stream.String()
}

func show(v types.AttributeValue) string {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return v.Value
	case *types.AttributeValueMemberN:
		return v.Value
	default:
		return "?"
	}
}
