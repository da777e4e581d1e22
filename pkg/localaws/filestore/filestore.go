// Package filestore keeps the state of an embedded AWS in a directory.
//
// A directory has a database, state.db (bbolt), and journals. A write is appended to the journal by one write(2), which survives
// the end of the process, a kill included. About once a second, what was written is put into the database, synced to the disk, and the
// journal is removed: a failure of the machine's power loses the last second at most, and never more than the end. A journal consists of
// numbered batches with checksums. Opening the directory applies those that the database does not have, up to the first that is
// damaged or missing.
//
// Keys that are removed give their space back to the database, which reuses it, and which Open copies to a smaller file when more than
// half of it is free.
package filestore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/leftfold/leftfold/pkg/localaws"
)

// foldEvery is how much a failure of the machine's power can lose.
const foldEvery = time.Second

// growBy is by how much the database's file grows.
const growBy = 1 << 20

// lockWait is how long Open waits for another process to release the directory.
const lockWait = 200 * time.Millisecond

// Store is a localaws.Store in a directory, which it holds until Close.
type Store struct {
	dir  string
	stop chan struct{}
	done chan struct{} // closed when nothing folds any more

	folding sync.Mutex // held while the database is written
	db      *bbolt.DB

	mu      sync.Mutex
	journal *os.File
	last    uint64            // number of the newest batch
	pending map[string][]byte // what the database does not have; nil removes a key
	err     error             // of the first write that failed
}

// Open opens a directory, which it creates if there is none. The error says what to do if the directory is in use by another process,
// belongs to something else or was written by a newer release.
func Open(dir string) (*Store, error) { return open(dir, foldEvery) }

func open(dir string, every time.Duration) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the data directory: %w", err)
	}
	db, err := openDatabase(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{dir: dir, db: db, stop: make(chan struct{}), done: make(chan struct{}), pending: map[string][]byte{}}
	if err := s.begin(); err != nil {
		return nil, errors.Join(fmt.Errorf("open the data directory %s: %w", dir, err), s.db.Close())
	}
	go s.foldOften(every)
	return s, nil
}

// begin applies the journals, makes the database smaller if that is worth it, and starts a new journal.
func (s *Store) begin() (err error) {
	if s.last, err = applied(s.db); err != nil {
		return err
	}
	journals, err := filepath.Glob(filepath.Join(s.dir, journalPrefix+"*"))
	if err != nil {
		return err
	}
	slices.Sort(journals)
	for _, path := range journals {
		if err := s.replay(path); err != nil {
			return err
		}
	}
	if len(s.pending) > 0 {
		if err := fold(s.db, s.pending, s.last); err != nil {
			return err
		}
	}
	clear(s.pending)
	for _, path := range journals {
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	if s.db, err = compact(s.dir, s.db); err != nil {
		return err
	}
	s.journal, err = createJournal(s.dir, s.last+1)
	return err
}

// replay applies the batches of a journal that follow the last one.
func (s *Store) replay(path string) error {
	f, err := os.Open(path) //nolint:gosec // a journal of the directory
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return readBatches(f, func(number uint64, changes []localaws.Change) {
		if number == s.last+1 {
			s.last = number
			s.add(changes)
		}
	})
}

func (s *Store) add(changes []localaws.Change) {
	for _, c := range changes {
		s.pending[string(c.Key)] = c.Value
	}
}

// Each implements localaws.Store.
func (s *Store) Each(prefix []byte, f func(key, value []byte) error) error {
	return each(s.db, prefix, f)
}

// Write implements localaws.Store.
func (s *Store) Write(changes []localaws.Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	if _, err := s.journal.Write(appendBatch(nil, s.last+1, changes)); err != nil {
		s.err = err
		return err
	}
	s.last++
	s.add(changes)
	return nil
}

func (s *Store) foldOften(every time.Duration) {
	defer close(s.done)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
			_ = s.fold() // later writes return the error
		}
	}
}

// fold puts what was written into the database and removes the journal. Writes go on in a new journal meanwhile.
func (s *Store) fold() error {
	s.folding.Lock()
	defer s.folding.Unlock()
	s.mu.Lock()
	full, pending, last := s.journal, s.pending, s.last
	if s.err != nil || len(pending) == 0 {
		defer s.mu.Unlock()
		return s.err
	}
	next, err := createJournal(s.dir, last+1)
	if err == nil {
		s.journal, s.pending = next, map[string][]byte{}
	}
	s.mu.Unlock()
	if err == nil {
		err = fold(s.db, pending, last)
	}
	if err == nil {
		err = errors.Join(full.Close(), os.Remove(full.Name()))
	}
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.err = fmt.Errorf("write the data directory: %w", err)
		return s.err
	}
	return nil
}

// errClosed is what writes return after Close.
var errClosed = errors.New("the data directory is closed")

// Close puts everything into the database and releases the directory. Later writes fail.
func (s *Store) Close() error {
	close(s.stop)
	<-s.done
	err := s.fold()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = errClosed
	}
	err = errors.Join(err, s.journal.Close())
	if err == nil {
		err = errors.Join(os.Remove(s.journal.Name()), os.Remove(filepath.Join(s.dir, ownerName)))
	}
	return errors.Join(err, s.db.Close())
}

const (
	databaseName  = "state.db"
	compactName   = "state.db.compact" // while it is made
	ownerName     = "owner"            // says which process uses the directory
	journalPrefix = "journal-"
)

// openDatabase opens and locks the database of a directory.
func openDatabase(dir string) (*bbolt.DB, error) {
	if err := checkOurs(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, databaseName)
	db, err := openBolt(path)
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("the data directory %s is in use by %s: stop that, or name another directory", dir, owner(dir))
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrVersionMismatch), errors.Is(err, berrors.ErrChecksum):
		return nil, fmt.Errorf("%s is not of an embedded AWS, or is damaged (%w): name another directory, or restore this one", path, err)
	case err != nil:
		return nil, fmt.Errorf("open the data directory: %w", err)
	}
	if err := checkFormat(db, dir); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if err := writeOwner(dir); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func openBolt(path string) (*bbolt.DB, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: lockWait, FreelistType: bbolt.FreelistMapType, NoFreelistSync: true,
	})
	if err == nil {
		db.AllocSize = growBy
	}
	return db, err
}

// checkOurs refuses a directory with files of something else.
func checkOurs(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("open the data directory: %w", err)
	}
	for _, e := range entries {
		ours := slices.Contains([]string{databaseName, compactName, ownerName}, e.Name()) || strings.HasPrefix(e.Name(), journalPrefix)
		if !ours {
			return fmt.Errorf("%s is not a data directory of an embedded AWS, for it has %s: name another directory, new or empty", dir, e.Name())
		}
	}
	return nil
}

func writeOwner(dir string) error {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	text := fmt.Sprintf("process %d on host %s (%s)", os.Getpid(), host, filepath.Base(os.Args[0]))
	return os.WriteFile(filepath.Join(dir, ownerName), []byte(text), 0o600)
}

// owner says which process uses the directory.
func owner(dir string) string {
	text, err := os.ReadFile(filepath.Join(dir, ownerName)) //nolint:gosec // a file of the directory
	if err != nil || len(text) == 0 {
		return "another process"
	}
	return string(text)
}
