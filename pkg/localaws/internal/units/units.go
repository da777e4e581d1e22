// Package units counts the capacity units that a request of DynamoDB consumes, whether its answer reports them or not.
package units

import (
	"context"
	"sync"
)

// Spent is what one request has consumed. The zero value is nothing.
type Spent struct {
	mu          sync.Mutex
	read, write float64
}

type key struct{}

// With returns a context whose request's units are added to s.
func With(ctx context.Context, s *Spent) context.Context { return context.WithValue(ctx, key{}, s) }

// Read adds read units to the request of ctx.
func Read(ctx context.Context, n float64) { add(ctx, n, 0) }

// Write adds write units to the request of ctx.
func Write(ctx context.Context, n float64) { add(ctx, 0, n) }

func add(ctx context.Context, read, write float64) {
	if s, ok := ctx.Value(key{}).(*Spent); ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.read += read
		s.write += write
	}
}

// Sum returns what was added so far.
func (s *Spent) Sum() (read, write float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.read, s.write
}
