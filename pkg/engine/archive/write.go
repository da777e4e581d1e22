package archive

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leftfold/leftfold/pkg/engine/envelope"
	"github.com/leftfold/leftfold/pkg/engine/progress"
	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Writer archives the records of a Kinesis stream. Its methods are those that shards.Config wants; where Firehose reads the
// stream, nobody needs it.
//
// It keeps nothing back: what one read of a shard returns, at most 10 MB, becomes one file, and only then is the position
// stored. So shards.Config.Poll is how often a file is made of a quiet stream, a stop has nothing to finish, and a crash
// repeats a file at most. Records are archived as they are, valid events or not, as Firehose does.
type Writer struct {
	Storage  Storage
	EventLog EventLog
	Now      func() time.Time
}

// Handle archives records; see shards.Config.
func (w Writer) Handle(ctx context.Context, _ string, records []shards.Record[[]byte]) error {
	f := w.newFile()
	for _, r := range records {
		f.add(r.Value)
	}
	return f.close(ctx)
}

// Republish archives the whole log, because the stream no longer has all that was not archived; see shards.Config. It leaves out
// what Verify reports as Unreadable: that can become no line, however often it is tried.
func (w Writer) Republish(ctx context.Context, _ string) error {
	f := w.newFile()
	for r, err := range w.EventLog.All(ctx, 1) {
		if errors.Is(err, eventsourcing.ErrLogHole) {
			continue // an item that is no event
		}
		if err == nil {
			line, unencodable := envelope.Encode(r)
			if unencodable != nil {
				continue
			}
			err = f.append(ctx, line)
		}
		if err != nil {
			return fmt.Errorf("archive the log: %w", err)
		}
	}
	return f.close(ctx)
}

func (w Writer) newFile() *file { return &file{storage: w.Storage, now: w.Now} }

// file collects lines for a new file.
type file struct {
	storage Storage
	now     func() time.Time

	size    int // of the lines
	content bytes.Buffer
	gz      *gzip.Writer
}

// maxFile is the size of the lines from which append begins a new file.
const maxFile = 8 << 20

func (f *file) add(line []byte) {
	if f.gz == nil {
		f.gz = gzip.NewWriter(&f.content)
	}
	_, _ = f.gz.Write(line) // a buffer takes everything
	_, _ = f.gz.Write([]byte{'\n'})
	f.size += len(line) + 1
}

// append adds a line, and stores the file if it is large enough.
func (f *file) append(ctx context.Context, line []byte) error {
	f.add(line)
	if f.size < maxFile {
		return nil
	}
	return f.close(ctx)
}

// close stores the file, if it has a line. More may be added after that, which become another file.
func (f *file) close(ctx context.Context) error {
	if f.size == 0 {
		return nil
	}
	_ = f.gz.Close()
	if err := f.storage.Put(ctx, newFileName(f.now()), f.content.Bytes()); err != nil {
		return fmt.Errorf("store a file of the archive: %w", err)
	}
	progress.Turn(ctx)
	f.size, f.gz = 0, nil
	f.content.Reset()
	return nil
}
