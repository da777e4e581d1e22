package projection

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// ErrBadCursor says that a text is no cursor, or that the cursor was made for another list.
var ErrBadCursor = errors.New("bad cursor")

// Cursor is a place in a list: right after the last row of a page. The zero Cursor is the start of any list, and as a
// next cursor it says that there is no more.
type Cursor struct{ place place }

type place struct {
	Of  string `json:"of"` // what list, see listOf
	ID  string `json:"id"`
	Row string `json:"row"`
}

// AWS's limits of key values: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
const maxHashKey, maxRangeKey = 2048, 1024

// ParseCursor is the inverse of Cursor.String; its only error is ErrBadCursor.
func ParseCursor(text string) (Cursor, error) {
	if text == "" {
		return Cursor{}, nil
	}
	if len(text) > 8*(maxHashKey+maxRangeKey) { // JSON makes six bytes of one at most, base64 adds a third
		return Cursor{}, fmt.Errorf("%w: too long", ErrBadCursor)
	}
	plain, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return Cursor{}, fmt.Errorf("%w: not base64url", ErrBadCursor)
	}
	var c Cursor
	err = json.Unmarshal(plain, &c.place)
	if err != nil || c.place.Of == "" || !storable(Key{c.place.ID, c.place.Row}) || c.String() != text {
		return Cursor{}, fmt.Errorf("%w: not a place in a list", ErrBadCursor)
	}
	return c, nil
}

// IsZero reports whether c is the start of a list.
func (c Cursor) IsZero() bool { return c == Cursor{} }

// String is c as text that fits in a URL; "" for the zero Cursor. It is opaque but not secret: it holds a row's key.
func (c Cursor) String() string {
	if c.IsZero() {
		return ""
	}
	plain, err := json.Marshal(c.place)
	if err != nil {
		panic(err) // three strings always marshal
	}
	return base64.RawURLEncoding.EncodeToString(plain)
}

// listOf names a list by what tells it from others, shortened so that nothing internal shows.
func listOf(parts ...string) string {
	h := sha256.New()
	for _, part := range parts {
		_, _ = fmt.Fprintf(h, "%d:%s", len(part), part) // a hash never fails
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:9])
}

// start is the key to go on after, or nil; it refuses a cursor of another list.
func (c Cursor) start(list string) (*Key, error) {
	switch {
	case c.IsZero():
		return nil, nil
	case c.place.Of != list:
		return nil, fmt.Errorf("%w: it is of another list", ErrBadCursor)
	default:
		return &Key{c.place.ID, c.place.Row}, nil
	}
}

// storable reports whether DynamoDB takes the key.
func storable(k Key) bool {
	return k.ID != "" && len(k.ID) <= maxHashKey && k.Row != "" && len(k.Row) <= maxRangeKey &&
		strings.ToValidUTF8(k.ID+k.Row, "") == k.ID+k.Row
}
