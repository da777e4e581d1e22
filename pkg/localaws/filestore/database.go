package filestore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
)

// format is the version of everything in a directory: files, keys and values. A release reads every version up to its own.
const format = 1

// The buckets of the database, and the keys of the first.
var (
	aboutBucket = []byte("localaws")
	stateBucket = []byte("state")

	formatKey  = []byte("format")
	appliedKey = []byte("applied") // number of the newest batch that the database has
)

// checkFormat makes a new database ready, and refuses one that this release cannot read.
func checkFormat(db *bbolt.DB, dir string) error {
	var isNew bool
	err := db.View(func(tx *bbolt.Tx) error {
		about := tx.Bucket(aboutBucket)
		first, _ := tx.Cursor().First()
		switch isNew = first == nil; {
		case isNew:
			return nil
		case about == nil || tx.Bucket(stateBucket) == nil:
			return fmt.Errorf("%s in %s is of another program: name another directory, new or empty", databaseName, dir)
		}
		if has := parseNumber(about.Get(formatKey)); has > format {
			return fmt.Errorf("the data directory %s was written by a newer release (its format is %d, this release reads up to %d): "+
				"use that release, or name another directory", dir, has, format)
		}
		return nil
	})
	if !isNew || err != nil {
		return err
	}
	return db.Update(func(tx *bbolt.Tx) error {
		about, err := tx.CreateBucket(aboutBucket)
		if err != nil {
			return err
		}
		_, err = tx.CreateBucket(stateBucket)
		return errors.Join(err, about.Put(formatKey, number(format)))
	})
}

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func parseNumber(b []byte) uint64 {
	if len(b) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// applied returns the number of the newest batch that the database has.
func applied(db *bbolt.DB) (last uint64, err error) {
	err = db.View(func(tx *bbolt.Tx) error {
		last = parseNumber(tx.Bucket(aboutBucket).Get(appliedKey))
		return nil
	})
	return last, err
}

// fold puts changes into the database, up to the batch with a number, and syncs it to the disk.
func fold(db *bbolt.DB, changes map[string][]byte, last uint64) error {
	return db.Update(func(tx *bbolt.Tx) error {
		state := tx.Bucket(stateBucket)
		for key, value := range changes {
			var err error
			if value == nil {
				err = state.Delete([]byte(key))
			} else {
				err = state.Put([]byte(key), value)
			}
			if err != nil {
				return err
			}
		}
		return tx.Bucket(aboutBucket).Put(appliedKey, number(last))
	})
}

func each(db *bbolt.DB, prefix []byte, f func(key, value []byte) error) error {
	return db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(stateBucket).Cursor()
		for k, v := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, v = c.Next() {
			if err := f(k, v); err != nil {
				return err
			}
		}
		return nil
	})
}

// worthIt is the size from which a database is made smaller.
const worthIt = 8 << 20

// compact replaces a database that is mostly free space by a copy without it. It returns the database to use. The old one stays
// locked until the new one is, so no other process can have either.
func compact(dir string, db *bbolt.DB) (*bbolt.DB, error) {
	var size int64
	err := db.View(func(tx *bbolt.Tx) error {
		size = tx.Size()
		return nil
	})
	stats := db.Stats()
	free := int64(stats.FreePageN+stats.PendingPageN) * int64(db.Info().PageSize)
	if err != nil || size < worthIt || free < size/2 {
		return db, err
	}
	path, target := filepath.Join(dir, compactName), filepath.Join(dir, databaseName)
	if err := os.RemoveAll(path); err != nil {
		return db, err
	}
	smaller, err := openBolt(path)
	if err != nil {
		return db, err
	}
	if err := errors.Join(bbolt.Compact(smaller, db, 1<<20), smaller.Close()); err != nil {
		return db, err
	}
	if os.Rename(path, target) != nil { // Windows does not replace a file that is open: the larger one is as good
		return db, os.Remove(path)
	}
	smaller, err = openBolt(target)
	if err != nil {
		return db, err
	}
	return smaller, db.Close()
}
