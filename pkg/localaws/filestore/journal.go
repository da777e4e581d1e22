package filestore

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"github.com/leftfold/leftfold/pkg/localaws"
)

// A batch in a file is its length and checksum, four bytes each, and then what these are of: its number, eight bytes, and its changes.
// A change is its key and its value, each after its length; the length of a value is one more than its bytes have, and zero
// for none, which removes the key.
const headerBytes = 8

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func appendBatch(b []byte, number uint64, changes []localaws.Change) []byte {
	start := len(b)
	b = append(b, make([]byte, headerBytes)...)
	b = binary.BigEndian.AppendUint64(b, number)
	for _, c := range changes {
		b = append(binary.AppendUvarint(b, uint64(len(c.Key))), c.Key...)
		if c.Value == nil {
			b = binary.AppendUvarint(b, 0)
			continue
		}
		b = append(binary.AppendUvarint(b, uint64(len(c.Value))+1), c.Value...)
	}
	body := b[start+headerBytes:]
	binary.BigEndian.PutUint32(b[start:], uint32(len(body))) //nolint:gosec // far below 4 GB
	binary.BigEndian.PutUint32(b[start+4:], crc32.Checksum(body, castagnoli))
	return b
}

// readBatches calls f with every batch up to the end, or to the first that is damaged, as the last one is after a write that was
// cut off. Its error is that of reading.
func readBatches(r io.Reader, f func(number uint64, changes []localaws.Change)) error {
	in := bufio.NewReader(r)
	for {
		number, changes, err := readBatch(in)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, errDamaged):
			return nil
		case err != nil:
			return err
		}
		f(number, changes)
	}
}

var errDamaged = errors.New("damaged")

func readBatch(in io.Reader) (number uint64, changes []localaws.Change, err error) {
	var header [headerBytes]byte
	if _, err := io.ReadFull(in, header[:]); err != nil {
		return 0, nil, err
	}
	length := int64(binary.BigEndian.Uint32(header[:]))
	body, err := io.ReadAll(io.LimitReader(in, length)) // does not believe a damaged length
	switch {
	case err != nil:
		return 0, nil, err
	case int64(len(body)) < length || length < 8 || crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(header[4:]):
		return 0, nil, errDamaged
	}
	number, rest := binary.BigEndian.Uint64(body), body[8:]
	for len(rest) > 0 {
		var c localaws.Change
		var ok bool
		if c.Key, rest, ok = cut(rest, 0); !ok {
			return 0, nil, errDamaged
		}
		if c.Value, rest, ok = cut(rest, 1); !ok {
			return 0, nil, errDamaged
		}
		changes = append(changes, c)
	}
	return number, changes, nil
}

// cut cuts off bytes that stand after their length plus more; nil for a length of zero.
func cut(b []byte, more uint64) (bytes, rest []byte, ok bool) {
	n, size := binary.Uvarint(b)
	if size <= 0 {
		return nil, nil, false
	}
	b = b[size:]
	if n < more {
		return nil, b, true
	}
	if n -= more; n > uint64(len(b)) {
		return nil, nil, false
	}
	return b[:n:n], b[n:], true
}

// createJournal creates the journal whose first batch has a number.
func createJournal(dir string, first uint64) (*os.File, error) {
	path := filepath.Join(dir, fmt.Sprintf("%s%020d", journalPrefix, first))
	return os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600) //nolint:gosec // in the directory
}
