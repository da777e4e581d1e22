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

	"github.com/leftfold/leftfold/pkg/engine/internal/dynamo"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Spec defines how one category's events are folded into rows. R is the state in a stream's own row: a struct with
// dynamodbav tags that is read from DynamoDB as it was written, and uses no attribute name of Fence or Key.
type Spec[R any, E eventsourcing.Event] struct {
	Category string
	// Row is the name of each stream's own row, such as "user".
	Row   string
	Codec *eventsourcing.Codec[E]
	// Fold must be pure, but may change the R that it is called with.
	Fold func(R, E, eventsourcing.Record) R
	// Rows derives the related rows from a state. It must be pure, and no other stream may derive the same row. One event
	// may change at most 99 rows. Defaults to none.
	Rows func(id string, r R) []Row
	// Entries derives rows from one event alone, such as the lines of a trail. They are written in the transaction that applies the
	// event, and no later event changes or deletes them. It must be pure, and neither another event nor Rows may derive the same
	// row. Each entry has the Fence of its event beside its data. One event may have at most 99 entries and changed related rows.
	// Defaults to none.
	Entries func(E, eventsourcing.Record) []Row
	// Listed makes Reader.List return the own rows. Defaults to false.
	Listed bool
}

// Row is a related row or an entry, owned by the stream that derives it. Data is a struct with dynamodbav tags that uses no attribute
// name of Fence or Key; with nil only the key is stored.
type Row struct {
	ID, Row string
	Data    any
}

// Key is the primary key of a row.
type Key struct {
	ID  string `dynamodbav:"id"`
	Row string `dynamodbav:"row"`
}

// Item is a row as DynamoDB stores it.
type Item = map[string]types.AttributeValue

// Source is a Spec without its types, so that one projection can have several.
type Source struct {
	category, row string
	listed        bool
	// fold applies records to the state in the own row. Its error is an *unappliableError, or
	// an ErrBadRow if that state cannot be read.
	fold     func(id string, own Item, records []eventsourcing.Record) (change, error)
	knows    func(name string, schema int) bool
	effect   *Effect // nil: rows are all that the events bring about
	mistakes []error
}

// Category returns the category of the streams.
func (s Source) Category() string { return s.category }

// change is the result of a fold: the own row's state, the data of the related rows before and after, and the entries of the
// records as they are stored.
type change struct {
	state         Item
	before, after map[Key]Item
	entries       map[Key]Item
}

// unappliableError: the record at that index, or one after it, cannot be applied, whatever the number of attempts. Nothing
// was applied; if at > 0, the records before it may be.
type unappliableError struct {
	at    int
	cause error
}

func (e *unappliableError) Error() string { return e.cause.Error() }
func (e *unappliableError) Unwrap() error { return e.cause }

// NewSource returns a Source of s. NewProjector reports mistakes in it.
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
	if s.Codec != nil {
		src.knows = s.Codec.Knows
	}
	if err := validateState[R](); err != nil {
		src.mistakes = append(src.mistakes, fmt.Errorf("source %q: state: %w", s.Category, err))
	}
	return src
}

func (s Spec[R, E]) fold(id string, own Item, records []eventsourcing.Record) (c change, err error) {
	at := 0
	defer func() {
		if cause := recover(); cause != nil {
			err = &unappliableError{at, fmt.Errorf("panic: %v", cause)}
		}
	}()
	var state R
	if err := attributevalue.UnmarshalMap(own, &state); err != nil {
		return c, fmt.Errorf("%w: %w", ErrBadRow, err)
	}
	if c.before, err = s.rows(id, state); err != nil { // before Fold, which may change state in place
		return c, &unappliableError{at, err}
	}
	for at = range records {
		rec := records[at]
		event, err := s.Codec.Decode(rec.Name, rec.Schema, rec.Data)
		if err != nil {
			return c, &unappliableError{at, err}
		}
		if c.entries, err = s.addEntries(c.entries, event, rec); err != nil {
			return c, &unappliableError{at, err}
		}
		state = s.Fold(state, event, rec)
	}
	at = len(records) / 2 // any of the records may be the cause of what follows
	if c.after, err = s.rows(id, state); err != nil {
		return c, &unappliableError{at, err}
	}
	if c.state, err = marshal(state); err != nil {
		return c, &unappliableError{at, err}
	}
	return c, nil
}

func (s Spec[R, E]) rows(id string, state R) (map[Key]Item, error) {
	if s.Rows == nil {
		return nil, nil
	}
	out := map[Key]Item{}
	return out, addRows(out, s.Rows(id, state))
}

// addEntries adds what a record derives to entries, and returns them.
func (s Spec[R, E]) addEntries(entries map[Key]Item, event E, rec eventsourcing.Record) (map[Key]Item, error) {
	if s.Entries == nil {
		return nil, nil
	}
	of, err := fenceItem(rec)
	if err != nil {
		return nil, err
	}
	added := map[Key]Item{}
	if err := addRows(added, s.Entries(event, rec)); err != nil {
		return nil, err
	}
	if entries == nil {
		entries = map[Key]Item{}
	}
	for key, data := range added {
		if _, dup := entries[key]; dup {
			return nil, derivedTwice(key)
		}
		entries[key] = with(data, of, key.item())
	}
	return entries, nil
}

// addRows adds the data of rows by their keys.
func addRows(to map[Key]Item, rows []Row) error {
	for _, row := range rows {
		key := Key{row.ID, row.Row}
		if _, dup := to[key]; dup {
			return derivedTwice(key)
		}
		data, err := marshal(row.Data)
		if err != nil {
			return fmt.Errorf("row %q of %q: %w", key.Row, key.ID, err)
		}
		to[key] = data
	}
	return nil
}

func derivedTwice(key Key) error {
	return fmt.Errorf("%w: %q of %q derived twice", ErrInvalidRow, key.Row, key.ID)
}

// validateState refuses an R that is not a struct, or uses a reserved attribute name.
func validateState[R any]() error {
	var zero, read R
	if _, err := marshal(zero); err != nil {
		return err
	}
	fence, err := attributevalue.MarshalMap(Fence{Version: 1, Stream: "s", EventID: "e", CorrelationID: "c", CausationID: "c"})
	if err != nil {
		return err
	}
	row := with(fence, Key{"i", "r"}.item(), Item{"listed": dynamo.Text("l"), "parked": dynamo.Text("p"), attrRebuild: dynamo.Text("b")})
	if err := attributevalue.UnmarshalMap(row, &read); err != nil || !reflect.DeepEqual(read, zero) {
		return fmt.Errorf("%w: %T uses a reserved name of %v", ErrInvalidRow, zero, reserved)
	}
	return nil
}

// reserved are the attributes of rows beside their data.
var reserved = []string{
	"id", "row", "version", "stream", "event_id", "correlation_id", "causation_id", "updated_at", "listed", "parked", attrRebuild,
}

func marshal(data any) (Item, error) {
	if data == nil {
		return Item{}, nil
	}
	value, err := attributevalue.Marshal(data)
	if err != nil {
		return nil, errors.Join(ErrInvalidRow, err)
	}
	m, ok := value.(*types.AttributeValueMemberM) // MarshalMap would return an empty row for anything else
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
