package eventsourcing

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// RecordedAtLayout is how stores and envelopes write Record.RecordedAt: RFC 3339 in UTC with milliseconds.
const RecordedAtLayout = "2006-01-02T15:04:05.000Z"

// Validate returns an error that names the first field which a store or an envelope could not keep as it is.
func (r Record) Validate() error {
	year := r.RecordedAt.UTC().Year()
	for _, f := range []struct {
		name string
		ok   bool
		want string
	}{
		{"id", isText(r.ID), "text"},
		{"stream", r.Stream.isValid(), streamRule},
		{"version", r.Version >= 1, "1 or more"},
		{"name", isText(r.Name), "text"},
		{"schema", r.Schema >= 1, "1 or more"},
		{"data", isJSON(r.Data), "JSON"},
		{"recordedAt", year >= 1 && year <= 9999 && !r.RecordedAt.IsZero(), "a time"},
	} {
		if !f.ok {
			return fmt.Errorf("field %q: not %s", f.name, f.want)
		}
	}
	for i, e := range r.Enrichment {
		for name, ok := range map[string]bool{"aggregate": isText(e.Aggregate), "id": isText(e.ID), "data": isJSON(e.Data)} {
			if !ok {
				return fmt.Errorf("field \"enrichment[%d].%s\": missing or invalid", i, name)
			}
		}
	}
	return r.Metadata.validate()
}

func (m Metadata) validate() error {
	for name, value := range map[string]string{
		"correlationId": m.CorrelationID, "causationId": m.CausationID, "actor": m.Actor, "traceparent": m.Traceparent,
	} {
		if !utf8.ValidString(value) {
			return fmt.Errorf("field \"metadata.%s\": not text", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.Extra)) {
		if slices.Contains(reservedMetadata(), name) {
			return fmt.Errorf("field \"metadata.%s\": reserved", name)
		}
		if !isText(name) || !utf8.ValidString(m.Extra[name]) {
			return errors.New("an extra member of the metadata: not text")
		}
	}
	return nil
}

// reservedMetadata are the names of Metadata's own fields in envelopes and in stores.
func reservedMetadata() []string {
	return []string{"correlationId", "correlation", "causationId", "causation", "actor", "traceparent"}
}

// Validate returns an error if the commit breaks one of the rules that Store.Append states.
func (c Commit) Validate() error {
	if len(c.Records) == 0 {
		return errors.New("commit without records")
	}
	for i, r := range c.Records {
		if want := c.Expected + Version(i) + 1; r.Stream != c.Stream || r.Version != want {
			return fmt.Errorf("record %q: %s at version %d, want %s at version %d", r.ID, r.Stream, r.Version, c.Stream, want)
		}
		if err := r.Validate(); err != nil {
			return fmt.Errorf("record of version %d: %w", r.Version, err)
		}
	}
	guarded := map[StreamID]bool{c.Stream: true}
	for _, g := range c.Guards {
		if guarded[g.Stream] || !g.Stream.isValid() {
			return fmt.Errorf("guard of %q: not another valid stream, or guarded twice", g.Stream)
		}
		guarded[g.Stream] = true
	}
	changed := map[Claim]bool{}
	for _, claim := range slices.Concat(c.Take, c.Release) {
		if changed[claim] || !isText(claim.Key()) {
			return fmt.Errorf("claim on %q: not text, or changed twice", claim.Constraint())
		}
		changed[claim] = true
	}
	if err := validateMoves(c.Scopes); err != nil {
		return err
	}
	if c.Result != nil {
		return c.Result.Validate()
	}
	return nil
}

func validateMoves(moves []ScopeMove) error {
	named := map[Scope]bool{}
	for _, m := range moves {
		parsed, ok := ParseScope(m.Scope.Key())
		if named[m.Scope] || !ok || parsed != m.Scope || !isText(m.Scope.Key()) {
			return fmt.Errorf("scope %q: not subject#name, or named twice", m.Scope.Key())
		}
		if named[m.Scope] = true; m.Read == nil && len(m.Add) == 0 {
			return fmt.Errorf("scope %q: neither checked nor moved", m.Scope.Key())
		}
		for counter := range m.Add {
			if !isText(counter) {
				return fmt.Errorf("scope %q: a counter's name is not text", m.Scope.Key())
			}
		}
	}
	return nil
}

// Validate returns an error unless the result has an ID and all of its text can be stored.
func (r CommandResult) Validate() error {
	if !isText(r.ID) || !utf8.ValidString(r.Fingerprint) {
		return errors.New("command result: the ID or the fingerprint is not text")
	}
	return nil
}

var streamRule = fmt.Sprintf("category/id in up to %d visible ASCII characters", MaxStreamText)

func (s StreamID) isValid() bool {
	text := s.String()
	parsed, err := ParseStreamID(text)
	invisible := func(r rune) bool { return r <= ' ' || r > '~' }
	return err == nil && parsed == s && len(text) <= MaxStreamText && !strings.ContainsFunc(text, invisible)
}

func isText(s string) bool { return s != "" && utf8.ValidString(s) }

func isJSON(b []byte) bool { return utf8.Valid(b) && json.Valid(b) }
