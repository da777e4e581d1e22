// Package archive keeps every event in object storage, and brings a lost event log back from there.
//
// # The layout
//
// An archive is files below events/, by the hour of their arrival in UTC:
//
//	events/year=2026/month=11/day=28/hour=10/<any name>
//
// Each is compressed by gzip and has one envelope (package envelope) after the other, each followed by a new line. The order
// means nothing, neither of files nor within one, and an event may be there several times: its stream and version say where it
// belongs. It is what Firehose makes of the Kinesis stream with the settings of deploy/terraform, and what Writer makes.
//
// # What is done with it
//
// Events reads an archive. Verify compares it with the log, and Restore fills a log from it. Both sort what they read in
// temporary files, so they hold a bounded part of it in memory, however many events there are.
package archive

import (
	"context"
	"crypto/rand"
	"fmt"
	"iter"
	"time"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// eventFiles is below what all files with events lie. Beside it Firehose keeps errors/.
const eventFiles = "events/"

// Storage keeps files by names with slashes. It is safe for concurrent use.
type Storage interface {
	// List yields the names of all files that begin with a prefix, in any order. The first error ends it.
	List(ctx context.Context, prefix string) iter.Seq2[string, error]
	// Get returns a file whole, or an error.
	Get(ctx context.Context, name string) ([]byte, error)
	// Put keeps a new file, whole or not at all. Once it returns nil, the file is durable.
	Put(ctx context.Context, name string, content []byte) error
}

// EventLog is the log that is archived. Of *dynamostore.Store it needs All.
type EventLog interface {
	// All yields all events, in any order, with consistent reads: every event that was in the log when it was called is among
	// them. An eventsourcing.ErrLogHole is about one item; any other error ends it.
	All(ctx context.Context, segments int) iter.Seq2[eventsourcing.Record, error]
}

// newFileName returns the name of a file that arrives at a time. Writers do not know of each other, so a part is random.
func newFileName(at time.Time) string {
	at = at.UTC()
	return fmt.Sprintf("%syear=%s/month=%s/day=%s/hour=%s/leftfold-archive-%s-%s.gz", eventFiles,
		at.Format("2006"), at.Format("01"), at.Format("02"), at.Format("15"), at.Format("2006-01-02-15-04-05"), rand.Text())
}
