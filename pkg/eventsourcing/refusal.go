package eventsourcing

// Kind says what sort of no a Refusal is.
type Kind uint8

// The kinds of refusal.
const (
	// Invalid: the command's own values break a rule; no state could accept them.
	Invalid Kind = iota + 1
	// NotFound: the aggregate, or one the command names, does not exist.
	NotFound
	// Denied: the state the aggregate is in, or a value another one holds, forbids it.
	Denied
)

// Refusal is a domain's no: an answer to the command, not a fault, and safe to show to whoever asked. Domains declare
// theirs as variables; compare with errors.Is.
type Refusal struct {
	Kind   Kind
	Code   string // stable, snake_case, part of the API
	Reason string
}

func (r *Refusal) Error() string { return r.Reason }
