// Package eventdocs describes every event that is or was ever written, from the code that writes and reads it: as a page
// for people and as an AsyncAPI document for programs. No service imports it.
package eventdocs

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"reflect"
	"slices"
	"strings"

	"github.com/leftfold/leftfold/pkg/domain/aggregatetest"
	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/engine/process"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/operations"
	"github.com/leftfold/leftfold/pkg/iam/processes/grants"
	"github.com/leftfold/leftfold/pkg/iam/processes/retirement"
	"github.com/leftfold/leftfold/pkg/iam/topology"
)

// Catalogue is all there is to say of the events.
type Catalogue struct {
	Names      topology.Names
	Aggregates []Aggregate
	Facts      []*Fact
}

// Aggregate is one category of streams: of an aggregate, or of a kind of process.
type Aggregate struct {
	Category string
	Opening  string   // the event that every stream begins with; a process's has none
	ID       string   // one stream's, for examples
	Queues   []string // they carry its events; none carries a process's
	Events   []Event
}

// Event is one event name.
type Event struct {
	eventsourcing.Known
	Doc             string
	Versions        []Version // from schema version 1 on
	Takes, Releases []string  // the constraints of the claims that change with it
	Fact            *Fact     // that it is enriched with, or nil

	example eventsourcing.Event // of the latest version
}

// Version is one shape of a payload.
type Version struct {
	Schema   int
	Written  bool // by this build
	Shape    Shape
	Examples []json.RawMessage // stored once; they decode for ever
}

// Fact is what a command finds out of another aggregate and adds to an event.
type Fact struct {
	eventsourcing.Enrichment // an example

	Name   string // of the Go type
	Shape  Shape
	Reader string // the service that uses it
}

// New describes the events of all aggregates and processes. Repository is its root directory, from which doc comments and golden files are
// read.
func New(repository fs.FS, names topology.Names) (Catalogue, error) {
	d := &describer{repository: repository, formats: map[reflect.Type]string{
		reflect.TypeFor[user.ID](): "uuid", reflect.TypeFor[user.RoleID](): "uuid", reflect.TypeFor[role.ID](): "uuid",
		reflect.TypeFor[user.Email](): "idn-email",
	}}
	const aUser, aRole = "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57", "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e58"
	const anAction = "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e59"
	reference, err := d.shape(reflect.TypeFor[role.Reference]())
	if err != nil {
		return Catalogue{}, err
	}
	fact := &Fact{Name: "Reference", Shape: reference, Enrichment: role.NewReference(aRole, "Auditor"), Reader: "projector-user"}
	// The command looks the role up: see commands.AddRole in services/command-api.
	facts := map[string]*Fact{user.RoleAdded{}.EventName(): fact, user.RoleGranted{}.EventName(): fact}
	c := Catalogue{Names: names, Facts: []*Fact{fact}}
	err = errors.Join(
		describe[user.State, user.Event](d, &c, user.Aggregate(), user.Registered{UserID: aUser, Email: "ann@example.com"}, aUser, facts),
		describe[role.State, role.Event](d, &c, role.Aggregate(), role.Created{RoleID: aRole, Name: "Clerk"}, aRole, nil),
	)
	err = errors.Join(err, describeProcess(d, &c, grants.Spec(), aUser), describeProcess(d, &c, retirement.Spec(), aRole))
	wanted := operations.Requested{Order: operations.Order{Action: "redrive", Target: "users org/iam/user/" + aUser}}
	err = errors.Join(err, describe[operations.State, operations.Event](d, &c, operations.Aggregate(), wanted, anAction, nil))
	for i, a := range c.Aggregates {
		for _, s := range names.Subscriptions() {
			if slices.Contains(s.Categories, a.Category) {
				c.Aggregates[i].Queues = append(c.Aggregates[i].Queues, s.Queue)
			}
		}
	}
	return c, err
}

// describe adds an aggregate. It applies each event to a stream of only its opening, whose values no golden file has, to find which claims
// it changes.
func describe[S any, E eventsourcing.Event](
	d *describer, to *Catalogue, of eventsourcing.Aggregate[S, E], opening E, id string, facts map[string]*Fact,
) error {
	out := Aggregate{Category: of.Category, Opening: opening.EventName(), ID: id}
	var err error
	if out.Events, err = events(d, of.Codec, reflect.TypeFor[S]()); err != nil {
		return fmt.Errorf("describe the events of %s: %w", of.Category, err)
	}
	if of.Claims == nil {
		of.Claims = func(S) []eventsourcing.Claim { return nil }
	}
	for i, e := range out.Events {
		event, _ := e.example.(E)
		var before S
		if e.DecodesAs != out.Opening {
			before = of.Evolve(before, opening)
		}
		had, has := of.Claims(before), of.Claims(of.Evolve(before, event))
		out.Events[i].Takes, out.Events[i].Releases = difference(has, had), difference(had, has)
		if !e.Retired { // what it was enriched with is its own history
			out.Events[i].Fact = facts[e.Name]
		}
	}
	place := func(e Event) int { // the opening first, what is retired last
		switch {
		case e.Name == out.Opening:
			return 0
		case e.Retired:
			return 2
		default:
			return 1
		}
	}
	slices.SortStableFunc(out.Events, func(a, b Event) int { return cmp.Compare(place(a), place(b)) })
	to.Aggregates = append(to.Aggregates, out)
	return nil
}

// describeProcess adds a kind of process: its own events, then the engine's.
func describeProcess[S any, E eventsourcing.Event](d *describer, to *Catalogue, of process.Spec[S, E], id string) error {
	events, err := events(d, of.Events(), reflect.TypeFor[S]())
	if err != nil {
		return fmt.Errorf("describe the events of %s: %w", of.Category, err)
	}
	place := func(e Event) int {
		if of.Codec.Knows(e.Name, 1) {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(events, func(a, b Event) int { return cmp.Compare(place(a), place(b)) })
	to.Aggregates = append(to.Aggregates, Aggregate{Category: of.Category, ID: id, Events: events})
	return nil
}

// events describes those that a codec knows. Their golden files are beside the state.
func events[E eventsourcing.Event](d *describer, codec *eventsourcing.Codec[E], state reflect.Type) (out []Event, err error) {
	golden, err := fs.Sub(d.repository, path.Join(dirOf(state), "testdata", "events"))
	if err != nil {
		return nil, err
	}
	files, err := aggregatetest.GoldenFiles(codec, golden)
	if err != nil {
		return nil, err
	}
	for _, k := range codec.Known() {
		e := Event{Known: k}
		for i, t := range k.Shapes {
			v := Version{Schema: i + 1, Written: i+1 == k.Writes}
			if v.Shape, err = d.shape(t); err != nil {
				return nil, err
			}
			for _, f := range files {
				if f.Name == k.Name && f.Schema == v.Schema {
					v.Examples = append(v.Examples, bytes.TrimSpace(f.Payload))
				}
			}
			e.Versions = append(e.Versions, v)
		}
		latest := e.Versions[len(e.Versions)-1]
		if e.example, err = codec.Decode(k.Name, latest.Schema, latest.Examples[0]); err != nil {
			return nil, err
		}
		e.Doc = d.doc(reflect.TypeOf(e.example))
		out = append(out, e)
	}
	return out, nil
}

// difference returns the constraints of the claims that are in a and not in b.
func difference(a, b []eventsourcing.Claim) (constraints []string) {
	for _, c := range a {
		if !slices.Contains(b, c) {
			constraints = append(constraints, c.Constraint())
		}
	}
	return constraints
}

// modulePath begins the path of each package that the described types are in.
const modulePath = "github.com/leftfold/leftfold/"

func dirOf(t reflect.Type) string { return strings.TrimPrefix(t.PkgPath(), modulePath) }
