package projection

import (
	"math"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// recent keeps the own rows that this process wrote last, up to a number of bytes. It is safe for concurrent use; a nil recent
// keeps none.
type recent struct {
	mu   sync.Mutex
	rows *simplelru.LRU[Key, Item]
	room int // bytes
}

// newRecent returns a recent with room for that many bytes; nil for none.
func newRecent(bytes int) *recent {
	if bytes <= 0 {
		return nil
	}
	r := &recent{room: bytes}
	// The error is for a size below 1; what bounds the rows is room.
	r.rows, _ = simplelru.NewLRU(math.MaxInt, func(_ Key, row Item) { r.room += sizeOf(row) })
	return r
}

// take returns the row and forgets it: the write of the next one keeps that. nil: none is kept.
func (r *recent) take(key Key) Item {
	r.mu.Lock()
	defer r.mu.Unlock()
	row, _ := r.rows.Peek(key)
	r.rows.Remove(key)
	return row
}

// keep keeps a row that was just written, and forgets those that were written longest ago if there is no room for it.
func (r *recent) keep(key Key, row Item) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rows.Remove(key)
	r.rows.Add(key, row)
	for r.room -= sizeOf(row); r.room < 0; {
		r.rows.RemoveOldest()
	}
}

// What Go needs besides the bytes of names, texts and numbers, about.
const (
	rowOverhead   = 500
	valueOverhead = 60
)

// sizeOf estimates the bytes of memory that a row takes.
func sizeOf(row Item) int { return rowOverhead + sizeOfMap(row) }

func sizeOfMap(values Item) (size int) {
	for name, value := range values {
		size += len(name) + sizeOfValue(value)
	}
	return size
}

func sizeOfValue(value types.AttributeValue) int {
	size := valueOverhead
	switch v := value.(type) {
	case *types.AttributeValueMemberS:
		size += len(v.Value)
	case *types.AttributeValueMemberN:
		size += len(v.Value)
	case *types.AttributeValueMemberB:
		size += len(v.Value)
	case *types.AttributeValueMemberM:
		size += sizeOf(v.Value)
	case *types.AttributeValueMemberL:
		for _, element := range v.Value {
			size += sizeOfValue(element)
		}
	case *types.AttributeValueMemberSS:
		size += sizeOfEach(v.Value)
	case *types.AttributeValueMemberNS:
		size += sizeOfEach(v.Value)
	case *types.AttributeValueMemberBS:
		size += sizeOfEach(v.Value)
	}
	return size
}

func sizeOfEach[T string | []byte](values []T) (size int) {
	for _, value := range values {
		size += valueOverhead + len(value)
	}
	return size
}
