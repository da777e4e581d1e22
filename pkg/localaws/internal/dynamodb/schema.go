package dynamodb

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/attr"
)

type attributeDefinition struct {
	AttributeName string
	AttributeType string
}

type keySchemaElement struct {
	AttributeName string
	KeyType       string
}

// keySchema is a checked schema: the names of the partition and the sort attribute, which is "" where there is none.
type keySchema struct{ hash, sort string }

func (k keySchema) names() []string {
	if k.sort == "" {
		return []string{k.hash}
	}
	return []string{k.hash, k.sort}
}

func (k keySchema) has(name string) bool { return name != "" && (name == k.hash || name == k.sort) }

func (k keySchema) wire() []keySchemaElement {
	out := []keySchemaElement{{AttributeName: k.hash, KeyType: "HASH"}}
	if k.sort != "" {
		out = append(out, keySchemaElement{AttributeName: k.sort, KeyType: "RANGE"})
	}
	return out
}

// of returns the key attributes of an item, which must have them.
func (k keySchema) of(item attr.Item) attr.Item {
	key := attr.Item{k.hash: item[k.hash]}
	if k.sort != "" {
		key[k.sort] = item[k.sort]
	}
	return key
}

// bytes returns the primary key of an item, which must have its key attributes.
func (k keySchema) bytes(item attr.Item) primaryKey {
	key := primaryKey{hash: string(item[k.hash].KeyBytes())}
	if k.sort != "" {
		key.sort = string(item[k.sort].KeyBytes())
	}
	return key
}

// definitions are the declared key attributes of a table and its indexes, by name.
type definitions map[string]string

func parseDefinitions(defs []attributeDefinition) (definitions, error) {
	out := definitions{}
	for _, d := range defs {
		if _, twice := out[d.AttributeName]; twice {
			return nil, invalidParameter("Cannot have two attributes with the same name: %s", d.AttributeName)
		}
		out[d.AttributeName] = d.AttributeType
	}
	return out, nil
}

// with returns the definitions together with more.
func (d definitions) with(more definitions) (definitions, error) {
	out := maps.Clone(d)
	for name, kind := range more {
		if has, ok := d[name]; ok && has != kind {
			return nil, invalidParameter("Attribute %s is a key of type %s already and cannot become one of type %s", name, has, kind)
		}
		out[name] = kind
	}
	return out, nil
}

func (d definitions) wire() []attributeDefinition {
	out := make([]attributeDefinition, 0, len(d))
	for name, kind := range d {
		out = append(out, attributeDefinition{name, kind})
	}
	slices.SortFunc(out, func(a, b attributeDefinition) int { return strings.Compare(a.AttributeName, b.AttributeName) })
	return out
}

func parseKeySchema(schema []keySchemaElement, defs definitions) (keySchema, error) {
	names := make([]string, 0, len(schema))
	for _, e := range schema {
		names = append(names, e.AttributeName)
	}
	switch {
	case schema[0].KeyType != "HASH":
		return keySchema{}, invalid("Invalid KeySchema: The first KeySchemaElement is not a HASH key type")
	case len(schema) == 2 && schema[1].KeyType != "RANGE":
		return keySchema{}, invalid("Invalid KeySchema: The second KeySchemaElement is not a RANGE key type")
	case len(schema) == 2 && names[0] == names[1]:
		return keySchema{}, invalid("Both the Hash Key and the Range Key element in the KeySchema have the same name")
	}
	for _, name := range names {
		if _, defined := defs[name]; !defined {
			return keySchema{}, invalidParameter(
				"Some index key attributes are not defined in AttributeDefinitions. Keys: %s, AttributeDefinitions: %s",
				bracketed(names), bracketed(sortedKeys(defs)))
		}
	}
	if len(names) == 1 {
		names = append(names, "")
	}
	return keySchema{hash: names[0], sort: names[1]}, nil
}

// Key sizes. Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html#limits-partition-sort-keys
const (
	maxHashKey = 2048
	maxSortKey = 1024
)

func checkKeySize(v attr.Value, isHash bool) error {
	if v.Kind() == attr.Number {
		return nil
	}
	switch size := v.Size(); {
	case isHash && size > maxHashKey: // the space is missing in AWS's text, too
		return invalidParameter("Size of hashkey has exceeded the maximum size limit of%d bytes", maxHashKey)
	case !isHash && size > maxSortKey:
		return invalidParameter("Aggregated size of all range keys has exceeded the size limit of %d bytes", maxSortKey)
	}
	return nil
}

// emptyKey reports whether v is an empty string or binary, which no key may be, and AWS's name for its type.
func emptyKey(v attr.Value) (string, bool) {
	switch v.Kind() {
	case attr.String:
		return "string", v.Text() == ""
	case attr.Binary:
		return "binary", len(v.Bytes()) == 0
	default:
		return "", false
	}
}

// checkItemKey checks the key attributes within a whole item, as PutItem does.
func (k keySchema) checkItemKey(item attr.Item, defs definitions) error {
	for _, name := range k.names() {
		v, ok := item[name]
		if !ok {
			return invalidParameter("Missing the key %s in the item", name)
		}
		if v.TypeName() != defs[name] {
			return invalidParameter("Type mismatch for key %s expected: %s actual: %s", name, defs[name], v.TypeName())
		}
		if err := checkKeyValue(name, v, name == k.hash); err != nil {
			return err
		}
	}
	return nil
}

// emptyKeyError is the ValidationException for an empty key. It fails a transaction as a whole: AWS does not make a
// cancellation reason of it.
//
// Source: https://github.com/nubo-db/dynoxide/issues/95
type emptyKeyError struct{ cause *awsjson.Error }

func (e emptyKeyError) Error() string { return e.cause.Error() }
func (e emptyKeyError) Unwrap() error { return e.cause }

func isEmptyKey(err error) bool {
	_, ok := errors.AsType[emptyKeyError](err)
	return ok
}

func checkKeyValue(name string, v attr.Value, isHash bool) error {
	if kind, empty := emptyKey(v); empty {
		return emptyKeyError{invalid("One or more parameter values are not valid. The AttributeValue for a key attribute "+
			"cannot contain an empty %s value. Key: %s", kind, name)}
	}
	return checkKeySize(v, isHash)
}

func keyMismatch() *awsjson.Error {
	return invalid("The provided key element does not match the schema")
}

// checkKey checks a Key member: exactly the key attributes, of their types.
func (k keySchema) checkKey(key attr.Item, defs definitions) error {
	names := k.names()
	if len(key) != len(names) {
		return keyMismatch()
	}
	for _, name := range names {
		if v, ok := key[name]; !ok || v.TypeName() != defs[name] {
			return keyMismatch()
		}
	}
	for _, name := range names {
		if err := checkKeyValue(name, key[name], name == k.hash); err != nil {
			return err
		}
	}
	return nil
}
