package expr

import (
	"errors"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/attr"
)

// maxPlaceholder is the maximum length of a placeholder with its "#" or ":".
// Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html#limits-expression-parameters
const maxPlaceholder = 255

// Values is ExpressionAttributeValues. It decodes like a map[string]attr.Value, but its errors name the placeholder.
type Values map[string]attr.Value

// UnmarshalJSONFrom returns an *awsjson.Error.
func (v *Values) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() == 'n' {
		*v = nil
		return d.SkipValue()
	}
	values := Values{}
	err := attr.Members(d, func(ref string) error {
		var value attr.Value
		err := value.UnmarshalJSONFrom(d)
		values[ref] = value
		return forKey(err, ref)
	})
	if err != nil {
		return err
	}
	*v = values
	return nil
}

func forKey(err error, ref string) error {
	e, ok := errors.AsType[*awsjson.Error](err)
	if !ok || e.Code != "ValidationException" {
		return err
	}
	return invalid("ExpressionAttributeValues contains invalid value: %s for key %s", e.Message, ref)
}

// Placeholders are the #names and :values of a request, shared by its expressions. They record which were used, so they must
// not be shared by requests or goroutines. A nil *Placeholders is empty.
type Placeholders struct {
	names      map[string]string
	values     map[string]attr.Value
	usedNames  map[string]bool
	usedValues map[string]bool
}

// NewPlaceholders checks the maps. A nil map means that the request does not have it.
func NewPlaceholders(names map[string]string, values map[string]attr.Value) (*Placeholders, error) {
	if err := checkRefs("ExpressionAttributeNames", '#', names); err != nil {
		return nil, err
	}
	for ref, name := range names {
		if name == "" {
			return nil, invalid("ExpressionAttributeNames contains invalid value: Empty attribute name for key %s", ref)
		}
	}
	if err := checkRefs("ExpressionAttributeValues", ':', values); err != nil {
		return nil, err
	}
	for ref, v := range values {
		if v.IsZero() {
			return nil, forKey(invalid("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"), ref)
		}
	}
	return &Placeholders{
		names: names, values: values,
		usedNames: map[string]bool{}, usedValues: map[string]bool{},
	}, nil
}

func checkRefs[V any](what string, mark byte, refs map[string]V) error {
	if refs != nil && len(refs) == 0 {
		return invalid("%s must not be empty", what)
	}
	for _, ref := range sortedKeys(refs) {
		if len(ref) > maxPlaceholder {
			return invalid("%s contains invalid key: The expression attribute map contains a key that is too long; key: %q", what, ref)
		}
		if len(ref) < 2 || ref[0] != mark || span(ref, 1) != len(ref) {
			return invalid("%s contains invalid key: Syntax error; key: %q", what, ref)
		}
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// CheckUsed returns an error if a placeholder is in no expression. Call it when all expressions of the request are parsed.
func (p *Placeholders) CheckUsed() error {
	if p == nil {
		return nil
	}
	if err := checkUsed("ExpressionAttributeNames", p.names, p.usedNames); err != nil {
		return err
	}
	return checkUsed("ExpressionAttributeValues", p.values, p.usedValues)
}

func checkUsed[V any](what string, refs map[string]V, used map[string]bool) error {
	unused := slices.DeleteFunc(sortedKeys(refs), func(ref string) bool { return used[ref] })
	if len(unused) == 0 {
		return nil
	}
	return invalid("Value provided in %s unused in expressions: keys: {%s}", what, strings.Join(unused, ", "))
}

// resolvePath replaces the path's placeholders by names.
func (p *Placeholders) resolvePath(l label, n *pathNode) error {
	for i, s := range n.path {
		if !strings.HasPrefix(s.name, "#") {
			continue
		}
		name, ok := p.name(s.name)
		if !ok {
			return l.errorf("An expression attribute name used in the document path is not defined; attribute name: %s", s.name)
		}
		n.path[i].name = name
	}
	if len(n.path) > maxPathDepth {
		return l.errorf("The document path has too many nesting levels; nesting levels: %d", len(n.path))
	}
	return nil
}

func (p *Placeholders) resolveValue(l label, n *valueNode) error {
	v, ok := p.value(n.ref)
	if !ok {
		return l.errorf("An expression attribute value used in expression is not defined; attribute value: %s", n.ref)
	}
	n.value = v
	return nil
}

func (p *Placeholders) name(ref string) (string, bool) {
	if p == nil {
		return "", false
	}
	name, ok := p.names[ref]
	p.usedNames[ref] = true
	return name, ok
}

func (p *Placeholders) value(ref string) (attr.Value, bool) {
	if p == nil {
		return attr.Value{}, false
	}
	v, ok := p.values[ref]
	p.usedValues[ref] = true
	return v, ok
}
