package projection

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Spec says how one category's events are folded into rows. R is the state kept in a stream's own row: a struct with
// dynamodbav tags that must come back from DynamoDB as it went in, and uses none of the names of Fence or Key.
type Spec[R any, E eventsourcing.Event] struct {
	Category string
	// Row names each stream's own row, such as "user".
	Row   string
	Codec *eventsourcing.Codec[E]
	// Fold must be pure. It may change the R that it is given.
	Fold func(R, E, eventsourcing.Record) R
	// Rows derives the related rows from a state; it must be pure, and no other stream may derive the same row. One
	// event may change 99 of them. Defaults to none.
	Rows func(id string, r R) []Row
	// Listed shows the own rows in Reader.List. Defaults to false.
	Listed bool
}

// Row is a row beside a stream's own, owned by that stream. Data is a struct with dynamodbav tags that uses none of the
// names of Fence or Key; nil is a row of its key alone.
type Row struct {
	ID, Row string
	Data    any
}

// Key is the primary key of a row.
type Key struct {
	ID  string `dynamodbav:"id"`
	Row string `dynamodbav:"row"`
}

// Item is a row as DynamoDB has it.
type Item = map[string]types.AttributeValue

// Source is a Spec whose types are erased, so that one projection can have several.
type Source struct {
	category, row string
	listed        bool
	// fold applies records to what is in the own row; the error is an *unappliable.
	fold     func(id string, own Item, records []eventsourcing.Record) (change, error)
	mistakes []error
}

// change is what a run of records makes of a stream's rows.
type change struct {
	state         Item
	before, after map[Key]Item
}

// unappliable says that no record from index at on was applied, and that no retry will help. At > 0: those before it
// may still be.
type unappliable struct {
	at    int
	cause error
}

func (u *unappliable) Error() string { return u.cause.Error() }
func (u *unappliable) Unwrap() error { return u.cause }

// NewSource makes a Source; NewProjector reports what is wrong with it.
func NewSource[R any, E eventsourcing.Event](s Spec[R, E]) Source {
	src := Source{category: s.Category, row: s.Row, listed: s.Listed, fold: s.fold}
	wrong := func(is bool, what string) {
		if is {
			src.mistakes = append(src.mistakes, fmt.Errorf("source %q: %s", s.Category, what))
		}
	}
	wrong(s.Category == "", "category is missing")
	wrong(s.Row == "", "row is missing")
	wrong(strings.HasPrefix(s.Row, parkedPrefix), "row begins with "+parkedPrefix)
	wrong(s.Codec == nil, "codec is missing")
	wrong(s.Fold == nil, "fold is missing")
	if err := plain[R](); err != nil {
		src.mistakes = append(src.mistakes, fmt.Errorf("source %q: state: %w", s.Category, err))
	}
	return src
}

func (s Spec[R, E]) fold(id string, own Item, records []eventsourcing.Record) (c change, err error) {
	at := 0
	defer func() {
		if cause := recover(); cause != nil {
			err = &unappliable{at, fmt.Errorf("panic: %v", cause)}
		}
	}()
	var state R
	if err := attributevalue.UnmarshalMap(own, &state); err != nil {
		return c, &unappliable{at, fmt.Errorf("decode own row: %w", err)}
	}
	if c.before, err = s.rows(id, state); err != nil { // before Fold, which may change what state refers to
		return c, &unappliable{at, err}
	}
	for at = range records {
		rec := records[at]
		event, err := s.Codec.Decode(rec.Name, rec.Schema, rec.Data)
		if err != nil {
			return c, &unappliable{at, err}
		}
		state = s.Fold(state, event, rec)
	}
	at = len(records) / 2 // from here on any of the records may be to blame
	if c.after, err = s.rows(id, state); err != nil {
		return c, &unappliable{at, err}
	}
	if c.state, err = marshal(state); err != nil {
		return c, &unappliable{at, err}
	}
	return c, nil
}

func (s Spec[R, E]) rows(id string, state R) (map[Key]Item, error) {
	if s.Rows == nil {
		return nil, nil
	}
	out := map[Key]Item{}
	for _, row := range s.Rows(id, state) {
		key := Key{row.ID, row.Row}
		if _, dup := out[key]; dup {
			return nil, fmt.Errorf("%w: %q of %q derived twice", ErrInvalidRow, key.Row, key.ID)
		}
		item, err := marshal(row.Data)
		if err != nil {
			return nil, fmt.Errorf("row %q of %q: %w", key.Row, key.ID, err)
		}
		out[key] = item
	}
	return out, nil
}

// plain refuses an R that is not a struct, or has a field that another attribute of its row would fill.
func plain[R any]() error {
	var zero, read R
	if _, err := marshal(zero); err != nil {
		return err
	}
	fence, err := attributevalue.MarshalMap(Fence{Version: 1, Stream: "s", EventID: "e", CorrelationID: "c", CausationID: "c"})
	if err != nil {
		return err
	}
	row := with(fence, Key{"i", "r"}.item(), Item{"listed": text("l"), "parked": text("p")})
	if err := attributevalue.UnmarshalMap(row, &read); err != nil || !reflect.DeepEqual(read, zero) {
		return fmt.Errorf("%w: %T uses a reserved name of %v", ErrInvalidRow, zero, reserved)
	}
	return nil
}

// reserved are the attributes that rows have beside their data.
var reserved = []string{
	"id", "row", "version", "stream", "event_id", "correlation_id", "causation_id", "updated_at", "listed", "parked",
}

func marshal(data any) (Item, error) {
	if data == nil {
		return Item{}, nil
	}
	value, err := attributevalue.Marshal(data)
	if err != nil {
		return nil, errors.Join(ErrInvalidRow, err)
	}
	m, ok := value.(*types.AttributeValueMemberM) // MarshalMap would make an empty row of anything else
	if !ok {
		return nil, fmt.Errorf("%w: %T is not a struct", ErrInvalidRow, data)
	}
	for _, name := range slices.Sorted(maps.Keys(m.Value)) {
		if slices.ContainsFunc(reserved, func(r string) bool { return strings.EqualFold(r, name) }) { // as fields are matched
			return nil, fmt.Errorf("%w: %T uses the reserved name %q", ErrInvalidRow, data, name)
		}
	}
	return m.Value, nil
}
