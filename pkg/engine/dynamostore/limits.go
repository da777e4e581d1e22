package dynamostore

import (
	"fmt"
	"maps"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Limits of DynamoDB, checked before a commit is sent:
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
const (
	maxItemBytes        = 400 << 10
	maxTransactionBytes = 4 << 20
	maxActions          = 100
	maxKeyBytes         = 2048 // of a partition key
)

func (p *plan) withinLimits() error {
	if n := len(p.actions); n > maxActions {
		return tooLarge("%d events, claims, guards, scopes and results; a transaction takes %d", n, maxActions)
	}
	total := 0
	for _, a := range p.actions {
		what, it := a.content()
		for _, name := range []string{attrConstraint, attrScope, attrID} { // a stream is shorter, if it is valid
			key, ok := it[name].(*types.AttributeValueMemberS)
			if ok && len(key.Value) > maxKeyBytes && (name != attrID || it[attrVersion] == nil) {
				return tooLarge("key %s of %s has %d bytes; a key takes %d", name, what, len(key.Value), maxKeyBytes)
			}
		}
		size := itemSize(it)
		if size > maxItemBytes {
			return tooLarge("%s has %d bytes; an item takes %d", what, size, maxItemBytes)
		}
		total += size
	}
	if total > maxTransactionBytes {
		return tooLarge("%d bytes in all; a transaction takes %d", total, maxTransactionBytes)
	}
	return nil
}

func tooLarge(format string, args ...any) error {
	return fmt.Errorf("%w: %s", eventsourcing.ErrTooLarge, fmt.Sprintf(format, args...))
}

// content returns the item or the key that the action sends, and what it is, free of personal data.
func (a action) content() (what string, it item) {
	switch w := a.item; {
	case a.extra && w.Put != nil:
		return "other item", w.Put.Item
	case a.extra:
		return "other item", w.Delete.Key
	case w.Put != nil && w.Put.Item[attrVersion] != nil:
		return fmt.Sprintf("event %s version %s", show(w.Put.Item[attrName]), show(w.Put.Item[attrVersion])), w.Put.Item
	case w.Put != nil && w.Put.Item[attrConstraint] != nil:
		return "claim", w.Put.Item
	case w.Put != nil:
		return "command result", w.Put.Item
	case w.Update != nil:
		return "scope", scopeContent(w.Update)
	case w.Delete != nil:
		return "claim", w.Delete.Key
	default:
		return "guard", w.ConditionCheck.Key
	}
}

// scopeContent is what an update of a scope sends.
func scopeContent(u *types.Update) item {
	it := maps.Clone(u.Key)
	for name, value := range u.ExpressionAttributeValues {
		it[u.ExpressionAttributeNames["#"+strings.TrimPrefix(name, ":")]] = value
	}
	return it
}

// itemSize computes the size as DynamoDB does:
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
func itemSize(it item) int {
	size := 0
	for name, value := range it {
		size += len(name) + valueSize(value)
	}
	return size
}

func valueSize(value types.AttributeValue) int {
	switch v := value.(type) {
	case *types.AttributeValueMemberS:
		return len(v.Value)
	case *types.AttributeValueMemberB:
		return len(v.Value)
	case *types.AttributeValueMemberN: // a byte for two significant digits, and one more
		return (len(strings.TrimRight(v.Value, "0"))+1)/2 + 1
	case *types.AttributeValueMemberM: // three bytes, and one for each element
		return 3 + len(v.Value) + itemSize(v.Value)
	case *types.AttributeValueMemberL:
		size := 3 + len(v.Value)
		for _, element := range v.Value {
			size += valueSize(element)
		}
		return size
	default: // not used by this package
		return 1
	}
}
