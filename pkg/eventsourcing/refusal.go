package eventsourcing

// Kind says what sort of answer a Refusal is.
type Kind uint8

// The kinds of refusal.
const (
	// Invalid: the command's own values break a rule; no state could accept them.
	Invalid Kind = iota + 1
	// NotFound: the aggregate, or one that the command names, does not exist.
	NotFound
	// FailedPrecondition: the state of the aggregate, or a value that another one holds, forbids it.
	FailedPrecondition
	// NotReady: an operator must do something first. The client can do nothing but wait.
	NotReady
)

// Refusal is the answer to a command that a rule forbids. It is not a fault, and it is safe to show to the client. Each is
// declared as a variable; compare with errors.Is.
type Refusal struct {
	Kind   Kind
	Code   string // stable, snake_case, part of the API
	Reason string // why, for people
	Remedy string // what the client can do about it; Markdown
}

func (r *Refusal) Error() string { return r.Reason }

// Is makes refusals of one code the same to errors.Is.
func (r *Refusal) Is(target error) bool {
	other, ok := target.(*Refusal)
	return ok && other.Code == r.Code
}

// ClaimTaken returns the refusal of commands that need a value which another stream holds. name is the claim's.
func ClaimTaken(name, remedy string) *Refusal {
	return &Refusal{Kind: FailedPrecondition, Code: name + "_taken", Reason: "another one has this " + name, Remedy: remedy}
}
