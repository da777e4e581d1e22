package waittest_test

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/leftfold/leftfold/pkg/waittest"
)

// failing keeps the text of a failure.
type failing struct {
	testing.TB
	text string
}

func (f *failing) Helper() {}

func (f *failing) Fatalf(format string, args ...any) {
	f.text = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func TestAWaitLastsAsLongAsSomethingMoves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		slow := func() (any, bool) {
			minutes := time.Since(began) / time.Minute
			return minutes, minutes == 300
		}
		waittest.Until(t, "five hours", slow)
		f := &failing{}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			waittest.Until(f, "ten things", func() (any, bool) { return "three of ten", false })
		}()
		<-ended
		assert.Equal(t, "waiting for ten things: nothing has changed for 2 minutes: three of ten", f.text)
	})
}
