package simulation

// mutant is a planted bug, as a change of what a process sends to AWS or hears from it: the services stay as they are.
type mutant struct {
	Name string
	// Of is the service that has the bug.
	Of string
	// call carries a call out as the bug has it; next carries it out as it is.
	call func(w *world, c *call, next func(*call) *answer) *answer
	// url changes a client's request.
	url func(path string) string
}

func (m *mutant) do(w *world, c *call, next func(*call) *answer) *answer {
	if m == nil || m.call == nil || c.life.replica.kind != m.Of && m.Of != "" {
		return next(c)
	}
	return m.call(w, c, next)
}

func (m *mutant) path(p string) string {
	if m == nil || m.url == nil {
		return p
	}
	return m.url(p)
}

func (p Plan) mutant() *mutant {
	for _, m := range mutants() {
		if m.Name == p.Mutant {
			return &m
		}
	}
	return nil
}

func mutants() []mutant { return nil }
