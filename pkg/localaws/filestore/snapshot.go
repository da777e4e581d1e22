package filestore

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/leftfold/leftfold/pkg/localaws"
)

// A snapshot is compressed: a line with the version of its format, and then batches as in a journal, numbered from 1.
const snapshotLine = "localaws snapshot, format "

// batchBytes is about the size of a batch in a snapshot.
const batchBytes = 1 << 20

// Snapshot writes a copy of the state, for Restore. Writes go on meanwhile, and are not in it.
func (s *Store) Snapshot(w io.Writer) error {
	if err := s.fold(); err != nil {
		return err
	}
	out := gzip.NewWriter(w)
	if _, err := fmt.Fprintf(out, "%s%d\n", snapshotLine, format); err != nil {
		return err
	}
	var batch []localaws.Change
	size, number := 0, uint64(0)
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		number++
		_, err := out.Write(appendBatch(nil, number, batch))
		batch, size = batch[:0], 0
		return err
	}
	err := each(s.db, nil, func(key, value []byte) error {
		batch = append(batch, localaws.Change{Key: bytes.Clone(key), Value: bytes.Clone(value)})
		if size += len(key) + len(value); size < batchBytes {
			return nil
		}
		return flush()
	})
	return errors.Join(err, flush(), out.Close())
}

// Restore makes a data directory of a snapshot. The directory must be new or empty.
func Restore(dir string, snapshot io.Reader) (err error) {
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return fmt.Errorf("the data directory %s is not empty: name another one, or remove it", dir)
	}
	in, err := openSnapshot(snapshot)
	if err != nil {
		return err
	}
	s, err := Open(dir)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, s.Close()); err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	for {
		_, changes, err := readBatch(in)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read the snapshot: %w", err)
		}
		if err := errors.Join(s.Write(changes), s.fold()); err != nil {
			return err
		}
	}
}

func openSnapshot(r io.Reader) (*bufio.Reader, error) {
	compressed, err := gzip.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("not a snapshot of an embedded AWS: %w", err)
	}
	in := bufio.NewReader(compressed)
	line, err := in.ReadString('\n')
	text, ok := strings.CutPrefix(line, snapshotLine)
	if err != nil || !ok {
		return nil, errors.New("not a snapshot of an embedded AWS")
	}
	var has uint64
	if _, err := fmt.Sscan(text, &has); err != nil || has > format {
		return nil, fmt.Errorf("the snapshot is of a newer release (its format is %s, this release reads up to %d): use that release",
			strings.TrimSpace(text), format)
	}
	return in, nil
}
