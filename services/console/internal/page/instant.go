package page

import "time"

// instants are how a browser sends the value of a field of type datetime-local: without seconds if they are 0.
var instants = [...]string{"2006-01-02T15:04:05", "2006-01-02T15:04"} //nolint:gochecknoglobals // read only

// Instant is a time as a field of a form has it, in UTC: a script shows it in the reader's zone.
func Instant(t time.Time) string { return t.UTC().Format(instants[0]) }

// ParseInstant is the time of such a field.
func ParseInstant(text string) (t time.Time, ok bool) {
	for _, layout := range instants {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	return t, false
}
