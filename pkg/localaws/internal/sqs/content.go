package sqs

import (
	"crypto/md5" //nolint:gosec // AWS defines its digests so; they protect nothing
	"encoding/binary"
	"encoding/hex"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
)

// maxAttributes is the number of message attributes:
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
const maxAttributes = 10

// messageAttribute is a MessageAttributeValue. AWS does not support its list members either.
type messageAttribute struct {
	DataType    string
	StringValue *string `json:",omitempty"`
	BinaryValue []byte  `json:",omitempty"`
}

// content is the part of a message that the producer sets.
type content struct {
	body        string
	bodyMD5     string
	attributes  map[string]messageAttribute
	traceHeader string
}

// newContent checks an entry. limit is the queue's MaximumMessageSize.
func newContent(e *sendEntry, limit int) (content, error) {
	if e.MessageBody == "" {
		return content{}, missingParameter("MessageBody")
	}
	if strings.IndexFunc(e.MessageBody, isForbidden) >= 0 {
		return content{}, failure("InvalidMessageContents", "InvalidMessageContents", "Invalid characters found. Valid unicode "+
			"characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF")
	}
	if len(e.MessageAttributes) > maxAttributes {
		return content{}, invalidParameter("Number of message attributes [%d] exceeds the allowed maximum [%d].",
			len(e.MessageAttributes), maxAttributes)
	}
	for _, name := range slices.Sorted(maps.Keys(e.MessageAttributes)) {
		if err := checkAttribute(name, e.MessageAttributes[name]); err != nil {
			return content{}, err
		}
	}
	if e.size() > limit {
		return content{}, invalidParameter("One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", limit)
	}
	c := content{body: e.MessageBody, bodyMD5: digest(e.MessageBody), attributes: e.MessageAttributes}
	for name, a := range e.MessageSystemAttributes {
		if name != "AWSTraceHeader" || a.DataType != "String" || a.StringValue == nil || *a.StringValue == "" {
			return content{}, invalidParameter(
				"Message system attribute '%s' is invalid: only AWSTraceHeader of type String is supported.", name)
		}
		c.traceHeader = *a.StringValue
	}
	return c, nil
}

// isForbidden reports whether XML cannot contain r.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
func isForbidden(r rune) bool {
	return r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF
}

func checkAttribute(name string, a messageAttribute) error {
	if !isAttributeName(name) {
		return invalidParameter("Message (user) attribute name '%s' is invalid: it can contain 1 to 256 alphanumeric characters, "+
			"hyphens, underscores and single inner periods, and must not start with AWS. or Amazon.", name)
	}
	kind, _, _ := strings.Cut(a.DataType, ".")
	switch kind {
	case "String", "Number":
		if a.StringValue == nil || *a.StringValue == "" {
			return invalidParameter("Message (user) attribute '%s' must contain a non-empty value of type 'String'.", name)
		}
		if a.BinaryValue != nil {
			return invalidParameter("Message (user) attribute '%s' has multiple values.", name)
		}
		if strings.IndexFunc(*a.StringValue, isForbidden) >= 0 {
			return invalidParameter("Message (user) attribute '%s' contains invalid characters.", name)
		}
		if kind == "Number" && !isNumber(*a.StringValue) {
			return invalidParameter("Can't cast the value of message (user) attribute '%s' to a number.", name)
		}
	case "Binary":
		if len(a.BinaryValue) == 0 {
			return invalidParameter("Message (user) attribute '%s' must contain a non-empty value of type 'Binary'.", name)
		}
		if a.StringValue != nil {
			return invalidParameter("Message (user) attribute '%s' has multiple values.", name)
		}
	default:
		return invalidParameter("The type of message (user) attribute '%s' is invalid. You must use only the following supported "+
			"type prefixes: Binary, Number, String.", name)
	}
	if len(a.DataType) > 256 {
		return invalidParameter("The type of message (user) attribute '%s' is longer than 256 characters.", name)
	}
	return nil
}

func isAttributeName(name string) bool {
	lower := strings.ToLower(name)
	if name == "" || len(name) > 256 || strings.HasPrefix(lower, "aws.") || strings.HasPrefix(lower, "amazon.") {
		return false
	}
	for part := range strings.SplitSeq(name, ".") {
		if part == "" || strings.Trim(lower, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
			return false
		}
	}
	return true
}

// digest returns the MD5 of a body in hex.
func digest(s string) string {
	sum := md5.Sum([]byte(s)) //nolint:gosec // see the import
	return hex.EncodeToString(sum[:])
}

// attributesDigest returns the MD5 of the attributes in hex, or "" if there are none.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html#sqs-attributes-md5-message-digest-calculation
func attributesDigest(attributes map[string]messageAttribute) string {
	if len(attributes) == 0 {
		return ""
	}
	h := md5.New() //nolint:gosec // see the import
	write := func(s string) {
		_ = binary.Write(h, binary.BigEndian, uint32(min(len(s), math.MaxInt32))) // a hash never fails
		_, _ = io.WriteString(h, s)
	}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		a := attributes[name]
		write(name)
		write(a.DataType)
		if a.StringValue != nil {
			_, _ = h.Write([]byte{1})
			write(*a.StringValue)
		} else {
			_, _ = h.Write([]byte{2})
			write(string(a.BinaryValue))
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
