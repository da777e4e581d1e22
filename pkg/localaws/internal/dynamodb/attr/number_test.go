package attr

import (
	"bytes"
	"math/big"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
)

// requireValidation requires a ValidationException.
func requireValidation(t require.TestingT, err error, message string) {
	var e *awsjson.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "ValidationException", e.Code)
	require.Equal(t, message, e.Message)
}

func mustNumber(t require.TestingT, text string) Value {
	v, err := NumberValue(text)
	require.NoError(t, err)
	return v
}

func rat(t require.TestingT, text string) *big.Rat {
	r, ok := new(big.Rat).SetString(text)
	require.True(t, ok, text)
	return r
}

// Leading and trailing zeros are trimmed and numbers come back without an exponent.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html#HowItWorks.DataTypes.Number
func TestNumbersAreCanonical(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"0": "0", "-0": "0", "0.000": "0", "0e500": "0", "-0e-99999999999": "0", "+7": "7", "007": "7", "1.": "1", ".5": "0.5",
		"-12.50": "-12.5", "1e3": "1000", "1E+3": "1000", "1.5e-3": "0.0015", "-100": "-100", "120.0e-1": "12",
		"1e125":  "1" + strings.Repeat("0", 125),
		"1e-130": "0." + strings.Repeat("0", 129) + "1",
		"9.9999999999999999999999999999999999999E+125": strings.Repeat("9", 38) + strings.Repeat("0", 88),
		"12345678901234567890123456789012345678":       "12345678901234567890123456789012345678",
		"1234567890123456789012345678901234567800":     "1234567890123456789012345678901234567800",
	} {
		assert.Equal(t, want, mustNumber(t, text).Text(), text)
	}
	assert.Equal(t, "-9223372036854775808", IntValue(-1<<63).Text())
}

// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html#HowItWorks.DataTypes.Number
func TestNumbersOutOfRangeAreRefused(t *testing.T) {
	t.Parallel()
	const (
		notANumber = "The parameter cannot be converted to a numeric value: "
		digits     = "Attempting to store more than 38 significant digits in a Number"
		overflow   = "Number overflow. Attempting to store a number with magnitude larger than supported range"
		underflow  = "Number underflow. Attempting to store a number with magnitude smaller than supported range"
	)
	for text, want := range map[string]string{
		"123456789012345678901234567890123456789":   digits,
		"-1.23456789012345678901234567890123456789": digits,
		"1e126": overflow, "-1e126": overflow, "1e99999999999": overflow, "1e2147483648": overflow, "1e99999999999999999999": overflow,
		"1e-131": underflow, "-1e-131": underflow, "1e-99999999999": underflow, "0.1e-130": underflow,
	} {
		_, err := NumberValue(text)
		requireValidation(t, err, want)
	}
	for _, text := range []string{
		"", "abc", "1.2.3", " 1", "1 ", "0x10", "1e", "e1", "1e+", "NaN", "Infinity", "-", "+", ".", "--1", "+-1", "1_000", "1e1.5", "1e1e1", "١",
	} {
		_, err := NumberValue(text)
		requireValidation(t, err, notANumber+text)
	}
}

// anyNumber draws texts of numbers in range, many of which are close to each other.
func anyNumber() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		digits := rapid.StringMatching(`[0-9]{1,3}|[0-9]{30,38}`).Draw(t, "digits")
		sign := rapid.SampledFrom([]string{"", "-"}).Draw(t, "sign")
		exponent := rapid.OneOf(rapid.IntRange(-3, 3), rapid.IntRange(-130, 87)).Draw(t, "exponent")
		return sign + digits + "e" + IntValue(int64(exponent)).Text()
	})
}

func TestNumbersAgreeWithRationals(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyNumber().Draw(t, "a"), anyNumber().Draw(t, "b")
		x, y := mustNumber(t, a), mustNumber(t, b)
		require.Zero(t, rat(t, a).Cmp(rat(t, x.Text())), "the canonical text is the same number")
		require.Equal(t, x, mustNumber(t, x.Text()), "canonical is canonical")
		order, ok := x.Compare(y)
		require.True(t, ok)
		require.Equal(t, rat(t, a).Cmp(rat(t, b)), order)
		require.Equal(t, order == 0, x.Equal(y))

		sum, err := x.Add(y)
		requireExact(t, new(big.Rat).Add(rat(t, a), rat(t, b)), sum, err)
		difference, err := x.Sub(y)
		requireExact(t, new(big.Rat).Sub(rat(t, a), rat(t, b)), difference, err)
	})
}

// requireExact requires the exact result, or an error if and only if DynamoDB cannot represent it.
func requireExact(t *rapid.T, want *big.Rat, got Value, err error) {
	if err == nil {
		require.Zero(t, want.Cmp(rat(t, got.Text())), "want %s, got %s", want, got.Text())
		return
	}
	// 300 places are exact: the finest digit is at 1E-130.
	digits := strings.Trim(strings.ReplaceAll(want.FloatString(300), ".", ""), "-0")
	magnitude := new(big.Rat).Abs(want)
	require.True(t, len(digits) > 38 || magnitude.Cmp(rat(t, "1e126")) >= 0 || magnitude.Cmp(rat(t, "1e-130")) < 0,
		"%s is representable but: %v", want, err)
}

func TestArithmeticOutOfRangeIsRefused(t *testing.T) {
	t.Parallel()
	const overflow = "Number overflow. Attempting to store a number with magnitude larger than supported range"
	_, err := mustNumber(t, "9e125").Add(mustNumber(t, "9e125"))
	requireValidation(t, err, overflow)
	// The service calls lost precision an overflow, too.
	_, err = mustNumber(t, "1e50").Sub(IntValue(1))
	requireValidation(t, err, overflow)
	_, err = mustNumber(t, "1e125").Add(mustNumber(t, "1e-130")) // as far apart as can be
	requireValidation(t, err, overflow)
	_, err = mustNumber(t, "1.1e-130").Sub(mustNumber(t, "1e-130"))
	requireValidation(t, err, "Number underflow. Attempting to store a number with magnitude smaller than supported range")
	_, err = IntValue(1).Add(StringValue("1"))
	requireValidation(t, err, "An operand in the update expression has an incorrect data type")
}

func anyScalar() *rapid.Generator[Value] {
	return rapid.Custom(func(t *rapid.T) Value {
		switch rapid.IntRange(0, 2).Draw(t, "kind") {
		case 0:
			return StringValue(rapid.StringMatching(`[a-cé\x00]{0,3}`).Draw(t, "text"))
		case 1:
			return BinaryValue(rapid.SliceOfN(rapid.Byte(), 0, 3).Draw(t, "data"))
		default:
			return mustNumber(t, anyNumber().Draw(t, "number"))
		}
	})
}

func TestKeyBytesKeepOrderAndKind(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyScalar().Draw(t, "a"), anyScalar().Draw(t, "b")
		require.Equal(t, a.Equal(b), bytes.Equal(a.KeyBytes(), b.KeyBytes()), "injective")
		switch {
		case a.Kind() != b.Kind():
			return
		case a.Kind() == String:
			require.Equal(t, strings.Compare(a.Text(), b.Text()), bytes.Compare(a.KeyBytes(), b.KeyBytes()))
		case a.Kind() == Binary:
			require.Equal(t, bytes.Compare(a.Bytes(), b.Bytes()), bytes.Compare(a.KeyBytes(), b.KeyBytes()))
		default:
			require.Equal(t, rat(t, a.Text()).Cmp(rat(t, b.Text())), bytes.Compare(a.KeyBytes(), b.KeyBytes()))
		}
		order, ok := a.Compare(b)
		require.True(t, ok)
		require.Equal(t, order, bytes.Compare(a.KeyBytes(), b.KeyBytes()))
	})
}

func TestNumbersSortByKeyBytes(t *testing.T) {
	t.Parallel()
	ascending := []string{
		"-9e125", "-1e125", "-1000", "-99.9", "-12.5", "-12", "-11", "-2", "-1.01", "-1", "-0.5", "-1e-130",
		"0", "1e-130", "0.05", "0.5", "1", "1.01", "2", "9", "11", "12", "12.5", "99.9", "1000", "1e125", "9e125",
	}
	for i := range ascending[1:] {
		low, high := mustNumber(t, ascending[i]), mustNumber(t, ascending[i+1])
		assert.Negative(t, bytes.Compare(low.KeyBytes(), high.KeyBytes()), "%s < %s", ascending[i], ascending[i+1])
	}
}

func TestOnlyScalarsOfOneKindAreOrdered(t *testing.T) {
	t.Parallel()
	values := []Value{StringValue("1"), IntValue(1), BinaryValue([]byte("1")), BoolValue(true), NullValue(), ListValue(nil), MapValue(nil), {}}
	for i, a := range values {
		for j, b := range values {
			_, ok := a.Compare(b)
			assert.Equal(t, i == j && i < 3, ok, "%s with %s", a.TypeName(), b.TypeName())
			assert.Equal(t, i == j, a.Equal(b), "%s with %s", a.TypeName(), b.TypeName())
		}
		assert.Equal(t, i < 3, a.KeyBytes() != nil)
	}
}
