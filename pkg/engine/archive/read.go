package archive

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"unicode"

	"golang.org/x/sync/errgroup"

	"github.com/leftfold/leftfold/pkg/engine/envelope"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// UnreadableError means that a file, the rest of one, or a record in it cannot be read. Another attempt cannot help.
type UnreadableError struct {
	File string
	Err  error
}

func (e *UnreadableError) Error() string { return fmt.Sprintf("%s: %v", e.File, e.Err) }

// Unwrap returns what is wrong.
func (e *UnreadableError) Unwrap() error { return e.Err }

// ErrNone means that there is no archive: it has no file with events.
var ErrNone = errors.New("no archive")

// Events yields every event of an archive, in any order, and as often as it is there. It reads that many files at once, at least
// one. What cannot be read comes as an *UnreadableError and does not end the sequence; any other error does: an
// ErrNone is that of a place without an archive. A file that is stored meanwhile may or may not be read.
func Events(ctx context.Context, storage Storage, parallel int) iter.Seq2[eventsourcing.Record, error] {
	return func(yield func(eventsourcing.Record, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		group, ctx := errgroup.WithContext(ctx)
		names, batches := make(chan string), make(chan []entry)
		group.Go(func() error {
			defer close(names)
			found := false
			for name, err := range storage.List(ctx, eventFiles) {
				if err != nil {
					return err
				}
				found = true
				if !send(ctx, names, name) {
					return ctx.Err()
				}
			}
			if !found {
				return fmt.Errorf("%w at %v, which has no file below %s", ErrNone, storage, eventFiles)
			}
			return nil
		})
		for range max(parallel, 1) {
			group.Go(func() error {
				for name := range names {
					content, err := storage.Get(ctx, name)
					if err != nil {
						return err
					}
					for batch := range batched(entriesIn(name, content)) {
						if !send(ctx, batches, batch) {
							return ctx.Err()
						}
					}
				}
				return nil
			})
		}
		ended := make(chan error, 1)
		go func() {
			ended <- group.Wait()
			close(batches)
		}()
		defer func() { // end all that reads
			cancel()
			for range batches {
			}
		}()
		for batch := range batches {
			for _, e := range batch {
				if !yield(e.record, e.err) {
					return
				}
			}
		}
		if err := <-ended; err != nil {
			yield(eventsourcing.Record{}, fmt.Errorf("read the archive: %w", err))
		}
	}
}

func send[T any](ctx context.Context, to chan<- T, value T) bool {
	select {
	case to <- value:
		return true
	case <-ctx.Done():
		return false
	}
}

// entry is an event, or why there is none.
type entry struct {
	record eventsourcing.Record
	err    error
}

// batched yields slices of what it gets, which are the receiver's.
func batched(entries iter.Seq[entry]) iter.Seq[[]entry] {
	const size = 100
	return func(yield func([]entry) bool) {
		var batch []entry
		for e := range entries {
			if batch = append(batch, e); len(batch) == size {
				if !yield(batch) {
					return
				}
				batch = nil
			}
		}
		if len(batch) > 0 {
			yield(batch)
		}
	}
}

// entriesIn yields what is in a file.
func entriesIn(name string, content []byte) iter.Seq[entry] {
	return func(yield func(entry) bool) {
		unzipped, err := gzip.NewReader(bytes.NewReader(content))
		if err != nil {
			yield(entry{err: &UnreadableError{name, err}})
			return
		}
		number := 0
		for value, err := range values(unzipped) {
			number++
			var e entry
			if err == nil {
				e.record, err = envelope.Decode(value)
			}
			if err != nil {
				e.err = &UnreadableError{name, fmt.Errorf("record %d: %w", number, err)}
			}
			if !yield(e) {
				return
			}
		}
	}
}

// maxValue bounds what is taken for one record: more than an envelope can have, and than a record of Kinesis.
const maxValue = 4 * envelope.MaxBytes

// errNotJSON does not quote what it is about, which may be personal data.
var errNotJSON = errors.New("not JSON")

// values yields the JSON values of a text. One may have several lines, since the data of an event is archived as it was written.
// What is not JSON, such as a record that something else put into the stream, is an error, and reading goes on at the next
// line. An error of the source ends it.
func values(source io.Reader) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		kept := &errorKeeper{Reader: source}
		for rest := bufio.NewReader(kept); ; {
			limited := &io.LimitedReader{R: rest}
			for decoder := json.NewDecoder(limited); ; {
				limited.N = maxValue
				var value json.RawMessage
				err := decoder.Decode(&value)
				switch {
				case err == nil:
					if !yield(value, nil) {
						return
					}
					continue
				case errors.Is(err, io.EOF) && errors.Is(kept.err, io.EOF):
					return
				case kept.err != nil && !errors.Is(kept.err, io.EOF):
					yield(nil, fmt.Errorf("and all behind it: %w", kept.err))
					return
				}
				if !yield(nil, errNotJSON) {
					return
				}
				rest = bufio.NewReader(io.MultiReader(decoder.Buffered(), rest))
				break
			}
			if !skipLine(rest) {
				if kept.err != nil && !errors.Is(kept.err, io.EOF) {
					yield(nil, fmt.Errorf("and all behind it: %w", kept.err))
				}
				return
			}
		}
	}
}

// skipLine reads to the end of the first line that is not empty, and reports whether there was one.
func skipLine(r *bufio.Reader) bool {
	for {
		b, err := r.ReadByte()
		if err != nil {
			return false
		}
		if !unicode.IsSpace(rune(b)) {
			break
		}
	}
	for {
		switch _, err := r.ReadSlice('\n'); {
		case err == nil:
			return true
		case !errors.Is(err, bufio.ErrBufferFull):
			return false
		}
	}
}

// errorKeeper keeps the error that its Reader returned.
type errorKeeper struct {
	io.Reader

	err error
}

func (k *errorKeeper) Read(b []byte) (int, error) {
	n, err := k.Reader.Read(b)
	if err != nil {
		k.err = err
	}
	return n, err
}
