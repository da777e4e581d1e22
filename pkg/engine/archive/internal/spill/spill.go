// Package spill sorts more than fits into memory, by way of temporary files.
package spill

import (
	"bufio"
	"bytes"
	"cmp"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
)

// Entry is what is sorted: by Key, then by Value.
type Entry struct{ Key, Value []byte }

func compare(a, b Entry) int {
	return cmp.Or(bytes.Compare(a.Key, b.Key), bytes.Compare(a.Value, b.Value))
}

// overhead is about what an entry in memory takes beside its bytes.
const overhead = 64

// Sorter collects entries and yields them in order. It holds at most its limit of bytes in memory and the others in runs, which
// are sorted files. It serves one goroutine; the caller must Close it.
type Sorter struct {
	dir   string
	limit int
	held  []Entry
	size  int
	runs  []string
}

// New returns a Sorter with its files in a new directory below dir, or below that for temporary files if dir is "".
func New(dir string, limit int) (*Sorter, error) {
	own, err := os.MkdirTemp(dir, "leftfold-sort-") // for its owner only
	return &Sorter{dir: own, limit: limit}, err
}

// Close removes the files.
func (s *Sorter) Close() error { return os.RemoveAll(s.dir) }

// Add adds an entry, which the Sorter keeps.
func (s *Sorter) Add(e Entry) error {
	s.held = append(s.held, e)
	s.size += len(e.Key) + len(e.Value) + overhead
	if s.size < s.limit {
		return nil
	}
	return s.spill()
}

// spill writes what is held into a run.
func (s *Sorter) spill() (err error) {
	slices.SortFunc(s.held, compare)
	file, err := os.CreateTemp(s.dir, "run-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	out := bufio.NewWriterSize(file, 1<<20)
	var length [binary.MaxVarintLen64]byte
	for _, e := range s.held {
		for _, part := range [][]byte{e.Key, e.Value} {
			_, _ = out.Write(length[:binary.PutUvarint(length[:], uint64(len(part)))]) // Flush has the error
			_, _ = out.Write(part)
		}
	}
	s.runs = append(s.runs, file.Name())
	clear(s.held)
	s.held, s.size = s.held[:0], 0
	return out.Flush()
}

// All yields every entry in order. It may be called again.
func (s *Sorter) All() iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		slices.SortFunc(s.held, compare)
		held := slices.Values(s.held)
		sources := []iter.Seq2[Entry, error]{func(yield func(Entry, error) bool) {
			for e := range held {
				if !yield(e, nil) {
					return
				}
			}
		}}
		for _, path := range s.runs {
			sources = append(sources, run(path))
		}
		var heads queue
		for _, source := range sources {
			next, stop := iter.Pull2(source)
			defer stop()
			if e, err, ok := next(); err != nil {
				yield(e, err)
				return
			} else if ok {
				heads = append(heads, head{e, next})
			}
		}
		heap.Init(&heads)
		for len(heads) > 0 {
			first := &heads[0]
			if !yield(first.Entry, nil) {
				return
			}
			e, err, ok := first.next()
			switch {
			case err != nil:
				yield(e, err)
				return
			case ok:
				first.Entry = e
				heap.Fix(&heads, 0)
			default:
				heap.Pop(&heads)
			}
		}
	}
}

// run yields the entries of a file.
func run(path string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		file, err := os.Open(path) //nolint:gosec // a file of the Sorter
		if err != nil {
			yield(Entry{}, err)
			return
		}
		defer func() { _ = file.Close() }() // it was only read
		in := bufio.NewReaderSize(file, 64<<10)
		for {
			key, err := part(in)
			if errors.Is(err, io.EOF) {
				return
			}
			value, err2 := part(in)
			if err := errors.Join(err, err2); err != nil {
				yield(Entry{}, fmt.Errorf("read %s: %w", path, err))
				return
			}
			if !yield(Entry{key, value}, nil) {
				return
			}
		}
	}
}

func part(in *bufio.Reader) ([]byte, error) {
	n, err := binary.ReadUvarint(in)
	if err != nil {
		return nil, err
	}
	b := make([]byte, n)
	_, err = io.ReadFull(in, b)
	return b, err
}

// head is the first entry of a source that was not yielded yet, and the way to those behind it.
type head struct {
	Entry

	next func() (Entry, error, bool)
}

// queue is a heap.Interface: the first one is the smallest.
type queue []head

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return compare(q[i].Entry, q[j].Entry) < 0 }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(head)) } //nolint:errcheck,forcetypeassert // heap.Push is not used

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := len(*q) - 1
	x := (*q)[last]
	*q = (*q)[:last]
	return x
}
