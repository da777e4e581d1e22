package localaws

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
	"github.com/leftfold/leftfold/pkg/localaws/internal/journal"
)

// Change puts a value under a key of a Store, or removes the key if the value is nil.
type Change = journal.Change

// Store keeps the state of a Server: values under keys, both of any bytes. Package filestore has one.
type Store interface {
	// Each calls f with every key that begins with a prefix, in the order of their bytes, and its value. f must keep neither. Each
	// returns the first error of f. It is only called by Open.
	Each(prefix []byte, f func(key, value []byte) error) error
	// Write applies changes in their order: all of them or none. They must survive the end of the process once it has returned. There
	// is one call at a time, and none after one that has failed.
	Write(changes []Change) error
}

// snapshotter is what a Store has besides if its state can be copied.
type snapshotter interface {
	Snapshot(w io.Writer) error
}

// Open returns a server with the state that a store has, and keeps every change there: a response is sent when everything that it
// tells is in the store. If the store fails, so does every later call.
//
// Options.AccountID must be that of the server which wrote the state. Faults and counters are not kept.
func Open(s Store, o Options) (*Server, error) {
	server := newServer(o, s, journal.New(s))
	err := journal.Each(server.journal, regionKey, func(id []string, _ bool) error {
		r := newRegion(id[0], server.options, server.journal)
		server.regions.byName[id[0]] = r
		return errors.Join(r.dynamodb.Load(), r.kinesis.Load(), r.sqs.Load())
	})
	if err != nil {
		return nil, fmt.Errorf("load the state: %w", err)
	}
	return server, server.journal.Flush()
}

// regionKey is the prefix of the entities that say which regions have been used. No region has such a name.
var regionKey = journal.Key(nil).With("_region")

func keepRegion(j *journal.Journal, name string) {
	if j == nil {
		return
	}
	var b journal.Batch
	b.Put(regionKey.With(name), true)
	j.Add(b)
}

// Snapshot writes a copy of the state at this moment, as the store does it.
func (s *Server) Snapshot(w io.Writer) error {
	store, ok := s.store.(snapshotter)
	if !ok {
		return errors.New("this server keeps its state in memory only: there is no copy of it")
	}
	if err := s.journal.Flush(); err != nil {
		return err
	}
	return store.Snapshot(w)
}

// keptEvents sends an event when everything that it tells is in the store.
type keptEvents struct {
	awsjson.Events

	journal *journal.Journal
}

func (e keptEvents) Next(ctx context.Context) (eventType string, event any, err error) {
	eventType, event, err = e.Events.Next(ctx)
	if failed := e.journal.Flush(); failed != nil {
		return "", nil, failed
	}
	return eventType, event, err
}
