// Package waittest lets a test wait for what happens in real time, behind sockets or in other processes: as long as something moves, on
// a machine however slow. Where time can be virtual, testing/synctest needs no such waits.
package waittest

import (
	"reflect"
	"testing"
	"time"
)

const (
	pause = 5 * time.Millisecond
	// looks without a change are the end of a wait: 2 minutes of the test's own running time. A process that gets no CPU does not count.
	looks = int(2 * time.Minute / pause)
)

// Until looks until done. What look returns as state shows progress: the test fails once it has stayed the same for two minutes.
// State may be nil, if there is nothing to see on the way.
func Until(t testing.TB, what string, look func() (state any, done bool)) {
	t.Helper()
	var last any
	for unchanged := 0; unchanged < looks; unchanged++ {
		state, done := look()
		if done {
			return
		}
		if !reflect.DeepEqual(state, last) {
			last, unchanged = state, 0
		}
		time.Sleep(pause)
	}
	t.Fatalf("waiting for %s: nothing has changed for 2 minutes: %v", what, last)
}
