package attr

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/apd/v3"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
)

// A number has up to 38 significant digits and a magnitude between 1E-130 and 9.99…E+125, or is zero.
//
// Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html#HowItWorks.DataTypes.Number
const (
	maxDigits    = 38
	minMagnitude = -130
	maxMagnitude = 125
)

// decimal is 0.DIGITS × 10^(magnitude+1): digits has neither leading nor trailing zeros and is empty for zero.
type decimal struct {
	negative  bool
	digits    string
	magnitude int
}

// NumberValue returns the N of a decimal text such as "-12.50" or "1e3", in canonical form, or a ValidationException.
func NumberValue(text string) (Value, error) {
	d, ok := parseDecimal(text)
	if !ok {
		return Value{}, invalid("The parameter cannot be converted to a numeric value: %s", text)
	}
	if err := d.check(); err != nil {
		return Value{}, err
	}
	return Value{kind: Number, text: d.String()}, nil
}

// IntValue returns an N.
func IntValue(n int64) Value { return Value{kind: Number, text: strconv.FormatInt(n, 10)} }

func invalid(format string, args ...any) error {
	return awsjson.Errorf("ValidationException", format, args...)
}

func errOverflow() error {
	return invalid("Number overflow. Attempting to store a number with magnitude larger than supported range")
}

func (d decimal) check() error {
	switch {
	case d.digits == "":
		return nil
	case len(d.digits) > maxDigits:
		return invalid("Attempting to store more than %d significant digits in a Number", maxDigits)
	case d.magnitude > maxMagnitude:
		return errOverflow()
	case d.magnitude < minMagnitude:
		return invalid("Number underflow. Attempting to store a number with magnitude smaller than supported range")
	}
	return nil
}

func parseDecimal(text string) (decimal, bool) {
	mantissa, exponent, ok := cutExponent(text)
	if !ok {
		return decimal{}, false
	}
	unsigned := strings.TrimLeft(mantissa, "+-")
	if len(mantissa)-len(unsigned) > 1 {
		return decimal{}, false
	}
	whole, fraction, _ := strings.Cut(unsigned, ".")
	all := whole + fraction
	if all == "" || strings.Trim(all, "0123456789") != "" {
		return decimal{}, false
	}
	significant := strings.TrimLeft(all, "0")
	d := decimal{
		negative:  mantissa[0] == '-',
		digits:    strings.TrimRight(significant, "0"),
		magnitude: len(whole) - (len(all) - len(significant)) - 1 + exponent,
	}
	if d.digits == "" {
		return decimal{}, true
	}
	return d, true
}

// cutExponent splits "1.5e-3" into "1.5" and -3. An exponent too large for an int is replaced by a smaller one that is
// still out of DynamoDB's range.
func cutExponent(text string) (mantissa string, exponent int, ok bool) {
	i := strings.IndexAny(text, "eE")
	if i < 0 {
		return text, 0, true
	}
	digits := text[i+1:]
	if digits != "" && (digits[0] == '+' || digits[0] == '-') {
		digits = digits[1:]
	}
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return "", 0, false
	}
	const huge = 1 << 30
	exponent, err := strconv.Atoi(digits)
	if err != nil || exponent > huge {
		exponent = huge
	}
	if text[i+1] == '-' {
		exponent = -exponent
	}
	return text[:i], exponent, true
}

// String returns plain decimal, as DynamoDB returns numbers: without exponent and unnecessary zeros.
func (d decimal) String() string {
	if d.digits == "" {
		return "0"
	}
	sign := ""
	if d.negative {
		sign = "-"
	}
	whole := d.magnitude + 1 // digits before the point
	switch {
	case whole <= 0:
		return sign + "0." + strings.Repeat("0", -whole) + d.digits
	case whole >= len(d.digits):
		return sign + d.digits + strings.Repeat("0", whole-len(d.digits))
	}
	return sign + d.digits[:whole] + "." + d.digits[whole:]
}

// Add returns v + o of two numbers, or a ValidationException.
func (v Value) Add(o Value) (Value, error) { return v.calculate((*apd.Context).Add, o) }

// Sub returns v - o of two numbers, or a ValidationException.
func (v Value) Sub(o Value) (Value, error) { return v.calculate((*apd.Context).Sub, o) }

// calculate is exact. DynamoDB never rounds: a result of more than 38 digits is an overflow, too, as observed
// (https://github.com/scylladb/scylladb/blob/master/test/alternator/test_number.py).
func (v Value) calculate(op func(c *apd.Context, d, x, y *apd.Decimal) (apd.Condition, error), o Value) (Value, error) {
	if v.kind != Number || o.kind != Number {
		return Value{}, invalid("An operand in the update expression has an incorrect data type")
	}
	x, _, err := apd.NewFromString(v.text)
	if err != nil {
		return Value{}, err
	}
	y, _, err := apd.NewFromString(o.text)
	if err != nil {
		return Value{}, err
	}
	var result apd.Decimal
	// Wide enough for every digit between 1E-130 and 1E+127.
	if _, err := op(apd.BaseContext.WithPrecision(300), &result, x, y); err != nil {
		return Value{}, err
	}
	d, ok := parseDecimal(result.Text('f'))
	if !ok || len(d.digits) > maxDigits {
		return Value{}, errOverflow()
	}
	if err := d.check(); err != nil {
		return Value{}, err
	}
	return Value{kind: Number, text: d.String()}, nil
}

// Compare orders two strings (by their UTF-8), two numbers or two binaries (by unsigned bytes); false for other kinds.
func (v Value) Compare(o Value) (int, bool) {
	if v.kind != o.kind {
		return 0, false
	}
	switch v.kind {
	case String:
		return cmp.Compare(v.text, o.text), true
	case Number:
		return bytes.Compare(v.KeyBytes(), o.KeyBytes()), true
	case Binary:
		return bytes.Compare(v.Bytes(), o.Bytes()), true
	case Bool, Null, List, Map, StringSet, NumberSet, BinarySet:
	}
	return 0, false
}

// The first byte of a number's KeyBytes after the tag.
const (
	belowZero = iota
	zero
	aboveZero
)

// KeyBytes encodes an S, N or B so that bytes.Compare orders values of one kind as Compare does; nil for other kinds. The
// first byte is the kind. The encoding of a prefix of an S or B is a prefix of its encoding.
func (v Value) KeyBytes() []byte {
	tag := byte(v.kind)
	switch v.kind {
	case String:
		return append([]byte{tag}, v.text...)
	case Binary:
		return append([]byte{tag}, v.Bytes()...)
	case Number:
		d, _ := parseDecimal(v.text)
		return append([]byte{tag}, d.keyBytes()...)
	case Bool, Null, List, Map, StringSet, NumberSet, BinarySet:
	}
	return nil
}

// keyBytes is sign, magnitude, digits. For a negative number, everything is inverted and followed by an end mark above
// every digit, because of two negative numbers with a common prefix the one with more digits is smaller.
func (d decimal) keyBytes() []byte {
	if d.digits == "" {
		return []byte{zero}
	}
	magnitude := byte(d.magnitude - minMagnitude) //nolint:gosec // G115: 0 to 255, see the constants
	b := append([]byte{aboveZero, magnitude}, d.digits...)
	if !d.negative {
		return b
	}
	b[0] = belowZero
	for i := range b[1:] {
		b[i+1] = ^b[i+1]
	}
	return append(b, 0xFF)
}

func sortByKey(members []Value) ([]Value, bool) {
	type keyed struct {
		key   []byte
		value Value
	}
	all := make([]keyed, len(members))
	for i, m := range members {
		all[i] = keyed{m.KeyBytes(), m}
	}
	slices.SortFunc(all, func(a, b keyed) int { return bytes.Compare(a.key, b.key) })
	sorted := make([]Value, len(all))
	distinct := true
	for i, k := range all {
		sorted[i] = k.value
		distinct = distinct && (i == 0 || !bytes.Equal(all[i-1].key, k.key))
	}
	return sorted, distinct
}
