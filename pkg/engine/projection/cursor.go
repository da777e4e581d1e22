package projection

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// ErrBadCursor means that the text is not a valid cursor, or that the cursor belongs to another list.
var ErrBadCursor = errors.New("bad cursor")

// Cursor is a position in a list: right after the last row of a page. The zero Cursor is the start of any list; as a next
// cursor it means that there are no more rows.
type Cursor struct{ place place }

type place struct {
	Of  string `json:"of"` // the list, see listOf
	ID  string `json:"id"`
	Row string `json:"row"`
}

// Limits of keys in DynamoDB: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
const maxHashKey, maxRangeKey = 2048, 1024

// ParseCursor is the inverse of Cursor.String; its only error is ErrBadCursor.
func ParseCursor(text string) (Cursor, error) {
	if text == "" {
		return Cursor{}, nil
	}
	if len(text) > 8*(maxHashKey+maxRangeKey) { // JSON needs at most six bytes for one, base64 a third more
		return Cursor{}, fmt.Errorf("%w: too long", ErrBadCursor)
	}
	plain, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return Cursor{}, fmt.Errorf("%w: not base64url", ErrBadCursor)
	}
	var c Cursor
	err = json.Unmarshal(plain, &c.place)
	if err != nil || c.place.Of == "" || !storable(Key{c.place.ID, c.place.Row}) || c.String() != text {
		return Cursor{}, fmt.Errorf("%w: not a position in a list", ErrBadCursor)
	}
	return c, nil
}

// IsZero reports whether c is the start of a list.
func (c Cursor) IsZero() bool { return c == Cursor{} }

// String returns c as text for a URL; "" for the zero Cursor. It is opaque but not secret: it contains the key of a row.
func (c Cursor) String() string {
	if c.IsZero() {
		return ""
	}
	plain, err := json.Marshal(c.place)
	if err != nil {
		panic(err) // three strings can always be marshalled
	}
	return base64.RawURLEncoding.EncodeToString(plain)
}

// listOf identifies a list by a hash of its parts, which hides them.
func listOf(parts ...string) string {
	h := sha256.New()
	for _, part := range parts {
		_, _ = fmt.Fprintf(h, "%d:%s", len(part), part) // a hash never fails
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:9])
}

// start returns the key to start after, or nil. It refuses a cursor of another list.
func (c Cursor) start(list string) (*Key, error) {
	switch {
	case c.IsZero():
		return nil, nil
	case c.place.Of != list:
		return nil, fmt.Errorf("%w: it belongs to another list", ErrBadCursor)
	default:
		return &Key{c.place.ID, c.place.Row}, nil
	}
}

// storable reports whether DynamoDB accepts the key.
func storable(k Key) bool {
	return k.ID != "" && len(k.ID) <= maxHashKey && k.Row != "" && len(k.Row) <= maxRangeKey &&
		strings.ToValidUTF8(k.ID+k.Row, "") == k.ID+k.Row
}
