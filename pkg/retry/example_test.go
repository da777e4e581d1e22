package retry_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leftfold/leftfold/pkg/retry"
)

// A loop that retries until it succeeds or ctx ends.
func ExampleBackoff_Wait() {
	ctx := context.Background()
	backoff := retry.Backoff{First: time.Millisecond, Max: 10 * time.Millisecond}
	send := unreliable()
	for failures := 1; ; failures++ {
		err := send(ctx)
		if err == nil {
			fmt.Println("sent")
			return
		}
		fmt.Println(err)
		if err := backoff.Wait(ctx, failures); err != nil {
			fmt.Println(err) // ctx has ended
			return
		}
	}
	// Output:
	// throttled
	// throttled
	// sent
}

// unreliable returns a function that fails twice.
func unreliable() func(context.Context) error {
	calls := 0
	return func(context.Context) error {
		if calls++; calls <= 2 {
			return errors.New("throttled")
		}
		return nil
	}
}

// An injected Jitter makes the pauses known: in tests, or where several loops share one source of random numbers.
func ExampleBackoff_Delay() {
	backoff := retry.Backoff{
		First: 100 * time.Millisecond, Max: time.Second,
		Jitter: func(limit time.Duration) time.Duration { return limit },
	}
	for failures := 1; failures <= 5; failures++ {
		fmt.Println(backoff.Delay(failures))
	}
	// Output:
	// 100ms
	// 200ms
	// 400ms
	// 800ms
	// 1s
}
