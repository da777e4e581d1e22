// Package eventdocs describes every event that is or was ever written, from the code that writes and reads it: as a page
// for people and as an AsyncAPI document for programs. No service imports it.
package eventdocs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"

	"github.com/leftfold/leftfold/pkg/domain/aggregatetest"
	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/topology"
)

// Catalogue is all there is to say of the events.
type Catalogue struct {
	Names      topology.Names
	Aggregates []Aggregate
}

// Aggregate is one category of streams.
type Aggregate struct {
	Category string
	// Opening is the event that every stream begins with.
	Opening string
	// ID is one stream's, for examples.
	ID string
	// Queues carry its events.
	Queues []string
	Events []Event
}

// Event is one event name.
type Event struct {
	eventsourcing.Known
	Doc string
	// Versions are its shapes, from schema version 1 on.
	Versions []Version
	// Takes and Releases are the constraints of the claims that change with it.
	Takes, Releases []string
	Facts           []Fact
}

// Version is one shape of a payload.
type Version struct {
	Schema int
	Doc    string
	Shape  Shape
	// Examples were stored once, and decode for ever.
	Examples []json.RawMessage
}

// Fact is one enrichment.
type Fact struct {
	Aggregate, ID string
	Name          string // of the Go type
	Doc           string
	Shape         Shape
	Example       json.RawMessage
	Reader        string // the service that uses it
}

// New describes the events of all aggregates. Module is the repository: the types are declared in several of its modules: doc comments
// and golden files are read from it.
func New(module fs.FS, names topology.Names) (Catalogue, error) {
	d := &describer{module: module, formats: map[reflect.Type]string{
		reflect.TypeFor[user.ID](): "uuid", reflect.TypeFor[user.RoleID](): "uuid", reflect.TypeFor[role.ID](): "uuid",
		reflect.TypeFor[user.Email](): "idn-email",
	}}
	const aUser, aRole = "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57", "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e58"
	users, err := describe(d, declaration[user.State, user.Event]{
		of: user.Aggregate(), opening: user.Registered{}, id: aUser,
		// The command looks the role up: see commands.AddRole in services/command-api.
		lookedUp: map[string]lookedUp{user.RoleAdded{}.EventName(): {
			fact: role.Reference{}, example: role.NewReference(aRole, "Auditor"), reader: "projector-user",
		}},
	})
	if err != nil {
		return Catalogue{}, err
	}
	roles, err := describe(d, declaration[role.State, role.Event]{of: role.Aggregate(), opening: role.Created{}, id: aRole})
	if err != nil {
		return Catalogue{}, err
	}
	c := Catalogue{Names: names, Aggregates: []Aggregate{users, roles}}
	for i, a := range c.Aggregates {
		for _, s := range names.Subscriptions() {
			if slices.Contains(s.Categories, a.Category) {
				c.Aggregates[i].Queues = append(c.Aggregates[i].Queues, s.Queue)
			}
		}
	}
	return c, nil
}

// declaration holds what cannot be derived from an aggregate's parts.
type declaration[S any, E eventsourcing.Event] struct {
	of       eventsourcing.Aggregate[S, E]
	opening  E
	id       string
	lookedUp map[string]lookedUp
}

// lookedUp is what a command finds out of another aggregate and adds to an event.
type lookedUp struct {
	fact    any // of the type that the example encodes
	example eventsourcing.Enrichment
	reader  string
}

// describe plays each event on a stream of only its opening, and sees what changes.
func describe[S any, E eventsourcing.Event](d *describer, of declaration[S, E]) (Aggregate, error) {
	codec := of.of.Codec
	dir := strings.TrimPrefix(reflect.TypeOf(of.opening).PkgPath(), modulePath)
	golden, err := fs.Sub(d.module, path.Join(dir, "testdata", "events"))
	if err != nil {
		return Aggregate{}, err
	}
	files, err := aggregatetest.GoldenFiles(codec, golden)
	if err != nil {
		return Aggregate{}, fmt.Errorf("read the stored events of %s: %w", of.of.Category, err)
	}
	examples := map[string][]json.RawMessage{} // by name and schema version
	for _, f := range files {
		key := fmt.Sprint(f.Name, f.Schema)
		examples[key] = append(examples[key], bytes.TrimSpace(f.Payload))
	}
	latest := func(k eventsourcing.Known) (E, error) {
		return codec.Decode(k.Name, len(k.Shapes), examples[fmt.Sprint(k.Name, len(k.Shapes))][0])
	}
	out := Aggregate{Category: of.of.Category, Opening: of.opening.EventName(), ID: of.id}
	known := codec.Known()
	opening := known[slices.IndexFunc(known, func(k eventsourcing.Known) bool { return k.Name == out.Opening })]
	first, err := latest(opening)
	if err != nil {
		return Aggregate{}, err
	}
	var errs []error
	for _, k := range known {
		e := Event{Known: k}
		for i, t := range k.Shapes {
			shape, err := d.shape(t)
			errs = append(errs, err)
			e.Versions = append(e.Versions, Version{
				Schema: i + 1, Doc: d.doc(t), Shape: shape, Examples: examples[fmt.Sprint(k.Name, i+1)],
			})
		}
		event, err := latest(k)
		errs = append(errs, err)
		e.Doc = d.doc(reflect.TypeOf(event))
		errs = append(errs, of.play(d, &e, first, event))
		out.Events = append(out.Events, e)
	}
	slices.SortStableFunc(out.Events, func(a, b Event) int { return order(a, out.Opening) - order(b, out.Opening) })
	return out, errors.Join(errs...)
}

// order puts the opening first and what is retired last.
func order(e Event, opening string) int {
	switch {
	case e.Name == opening:
		return 0
	case e.Retired:
		return 2
	default:
		return 1
	}
}

// play finds out which claims the event changes and how it is enriched.
func (of declaration[S, E]) play(d *describer, e *Event, opening, event E) error {
	var before S
	if event.EventName() != opening.EventName() {
		before = of.of.Evolve(before, opening)
	}
	after := of.of.Evolve(before, event)
	had, has := constraints(of.of.Claims(before)), constraints(of.of.Claims(after))
	for _, key := range slices.Sorted(maps.Keys(has)) {
		if _, kept := had[key]; !kept {
			e.Takes = append(e.Takes, has[key])
		}
	}
	for _, key := range slices.Sorted(maps.Keys(had)) {
		if _, kept := has[key]; !kept {
			e.Releases = append(e.Releases, had[key])
		}
	}
	if e.Retired {
		return nil // what it was enriched with is its own history
	}
	l, ok := of.lookedUp[e.Name]
	if !ok {
		return nil
	}
	t := reflect.TypeOf(l.fact)
	shape, err := d.shape(t)
	e.Facts = append(e.Facts, Fact{
		Aggregate: l.example.Aggregate, ID: l.example.ID, Name: t.Name(), Doc: d.doc(t), Shape: shape, Example: l.example.Data, Reader: l.reader,
	})
	return err
}

// constraints by claim.
func constraints(claims []eventsourcing.Claim) map[string]string {
	out := map[string]string{}
	for _, c := range claims {
		out[c.Key()] = c.Constraint()
	}
	return out
}
