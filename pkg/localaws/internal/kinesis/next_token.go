package kinesis

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
)

// tokenAge is how long iterators and the tokens of ListShards are valid.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetShardIterator.html
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListShards.html
const tokenAge = 5 * time.Minute

// iterator is a position in a shard, opaque to clients.
type iterator struct {
	issuedAt time.Time
	stream   string
	next     sequence // the record to read next
}

func (i iterator) String() string { return token(i.issuedAt, i.stream, i.next.String()) }

func parseIterator(s string, now time.Time) (iterator, error) {
	issuedAt, fields, ok := parseToken(s, 2)
	if !ok {
		return iterator{}, invalidArgument("Invalid ShardIterator.")
	}
	next, ok := parseSequence(fields[1])
	if !ok || issuedAt.After(now) {
		return iterator{}, invalidArgument("Invalid ShardIterator.")
	}
	if now.Sub(issuedAt) > tokenAge {
		return iterator{}, expiredError("ExpiredIteratorException", "Iterator", issuedAt, now)
	}
	return iterator{issuedAt: issuedAt, stream: fields[0], next: next}, nil
}

func expiredError(code, what string, issuedAt, now time.Time) error {
	const layout = "Mon Jan 02 15:04:05 UTC 2006"
	return awsjson.Errorf(code, "%s expired. The %s was created at time %s while right now it is %s which is further in the future "+
		"than the tolerated delay of %d milliseconds.",
		what, strings.ToLower(what), issuedAt.UTC().Format(layout), now.UTC().Format(layout), tokenAge.Milliseconds())
}

// token encodes a time and some fields without a slash as opaque text.
func token(issuedAt time.Time, fields ...string) string {
	all := append([]string{strconv.FormatInt(issuedAt.UnixMilli(), 10)}, fields...)
	return base64.StdEncoding.EncodeToString([]byte(strings.Join(all, "/")))
}

// parseToken returns false if s is not a token of n fields.
func parseToken(s string, n int) (issuedAt time.Time, fields []string, ok bool) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return time.Time{}, nil, false
	}
	fields = strings.Split(string(b), "/")
	millis, err := strconv.ParseInt(fields[0], 10, 64)
	return time.UnixMilli(millis), fields[1:], err == nil && len(fields) == n+1
}
