// Package measure has what is measured: samples of rounds, the time of CPU, and what calls of AWS use and cost.
package measure

import (
	"fmt"
	"slices"
)

// Sample is a quantity that was measured once in each round. An empty one was not measured.
type Sample []float64

// Median returns the middle of the values, or the mean of the two in the middle; 0 if there are none.
func (s Sample) Median() float64 {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// Min returns the least value; 0 if there are none.
func (s Sample) Min() float64 {
	if len(s) == 0 {
		return 0
	}
	return slices.Min(s)
}

// Max returns the largest value; 0 if there are none.
func (s Sample) Max() float64 {
	if len(s) == 0 {
		return 0
	}
	return slices.Max(s)
}

// Over returns the ratio to what was measured in the same rounds, as far as both were measured.
func (s Sample) Over(floor Sample) Sample {
	var ratios Sample
	for i := range min(len(s), len(floor)) {
		if floor[i] != 0 {
			ratios = append(ratios, s[i]/floor[i])
		}
	}
	return ratios
}

// Times returns the sample in another unit.
func (s Sample) Times(factor float64) Sample {
	out := make(Sample, len(s))
	for i, v := range s {
		out[i] = v * factor
	}
	return out
}

// String has the median and, of several rounds, the least and the largest value: "0.56 (0.5–0.73)".
func (s Sample) String() string {
	switch {
	case len(s) == 0:
		return ""
	case len(s) == 1 || s.Min() == s.Max():
		return Number(s.Median())
	default:
		return fmt.Sprintf("%s (%s–%s)", Number(s.Median()), Number(s.Min()), Number(s.Max()))
	}
}

// Number writes three digits that count, and all of a larger number.
func Number(x float64) string {
	switch {
	case x == 0:
		return "0"
	case x < 0:
		return "-" + Number(-x)
	case x >= 99.95:
		return grouped(fmt.Sprintf("%.0f", x))
	case x >= 9.995:
		return fmt.Sprintf("%.1f", x)
	case x >= 0.0995:
		return fmt.Sprintf("%.2f", x)
	default:
		return fmt.Sprintf("%.2g", x)
	}
}

// grouped puts a comma between thousands.
func grouped(digits string) string {
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// Plus adds what was measured in the same rounds. The empty sample adds nothing.
func (s Sample) Plus(o Sample) Sample {
	if len(s) == 0 {
		return o
	}
	sum := make(Sample, min(len(s), len(o)))
	for i := range sum {
		sum[i] = s[i] + o[i]
	}
	return sum
}
