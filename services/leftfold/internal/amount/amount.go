// Package amount writes numbers of things for people.
package amount

import "strconv"

// Number is a count.
type Number interface{ ~int | ~int64 | ~uint64 }

// Of writes n things: "1 user", "1,234 users".
func Of[N Number](n N, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return Digits(n) + " " + thing
}

// Digits writes 1234567 as 1,234,567.
func Digits[N Number](n N) string {
	s := strconv.FormatInt(int64(n), 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
