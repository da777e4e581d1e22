package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// readers read users over HTTP all the time, and a list now and then. No read may fail, and none may answer less than one that had
// ended before it began, from whichever generation and replica it is answered. A user need not be there at first.
type readers struct {
	client systemtest.Client
	users  []string
	// between is called before each read.
	between func()

	mu       sync.Mutex
	least    map[string]uint64
	reads    int
	failed   int
	back     int
	breaches []error // the first ones
}

// run reads with that many readers until done is closed.
func (r *readers) run(ctx context.Context, count int, done <-chan struct{}) {
	r.least = map[string]uint64{}
	var all sync.WaitGroup
	for reader := range count {
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(reader), 1))
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				r.between()
				if n%10 == 9 {
					r.list(ctx)
				} else {
					r.one(ctx, pick(random, r.users))
				}
			}
		})
	}
	all.Wait()
}

func (r *readers) list(ctx context.Context) {
	answer, err := r.client.Do(ctx, systemtest.Request{Method: http.MethodGet, Path: "/users?limit=5"})
	if err == nil && answer.Status != http.StatusOK {
		err = fmt.Errorf("list users: %d %s", answer.Status, answer.Body)
	}
	r.note("", 0, 0, err)
}

func (r *readers) one(ctx context.Context, id string) {
	r.mu.Lock()
	least := r.least[id]
	r.mu.Unlock()
	answer, err := r.client.Do(ctx, systemtest.Request{Method: http.MethodGet, Path: "/users/" + id})
	var shown person
	switch {
	case err != nil:
	case answer.Status == http.StatusOK:
		shown, err = systemtest.Decode[person](answer)
	case answer.Status == http.StatusNotFound: // which is version 0
	default:
		err = fmt.Errorf("read user %s: %d %s", id, answer.Status, answer.Body)
	}
	r.note(id, least, shown.Version, err)
}

const maxBreaches = 5

func (r *readers) note(id string, least, version uint64, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reads++
	switch {
	case err != nil:
		r.failed++
	case version < least:
		r.back++
		err = fmt.Errorf("user %s: version %d was read after %d", id, version, least)
	default:
		r.least[id] = max(r.least[id], version)
	}
	if err != nil && len(r.breaches) < maxBreaches {
		r.breaches = append(r.breaches, err)
	}
}

// assertNothingSeen fails the test if a read failed or went back.
func (r *readers) assertNothingSeen(t testing.TB) {
	t.Helper()
	assert.NotEmpty(t, r.least)
	assert.Zero(t, r.failed, "reads failed: %v", errors.Join(r.breaches...))
	assert.Zero(t, r.back, "reads went back: %v", errors.Join(r.breaches...))
	t.Logf("%d reads", r.reads)
}
