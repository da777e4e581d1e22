package projection

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// ErrNotYet means that the projection has not reached the version.
var ErrNotYet = errors.New("projection has not reached that version yet")

// awaitEvery is the pause between the reads of Await: each costs a read unit.
const awaitEvery = 25 * time.Millisecond

// Await is Get of an own row whose fence is at least that version, so that a client can read what it wrote. If the row does
// not reach it within wait, the error is ErrNotYet.
func (r Reader) Await(
	ctx context.Context, id, row string, least eventsourcing.Version, wait time.Duration, out any,
) (found bool, err error) {
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	for {
		item, err := r.item(ctx, Key{id, row})
		if err != nil {
			return false, err
		}
		var at Fence
		if err := attributevalue.UnmarshalMap(item, &at); err != nil {
			return false, err
		}
		if at.Version >= least {
			return item != nil, attributevalue.UnmarshalMap(item, out)
		}
		next := time.NewTimer(awaitEvery)
		select {
		case <-next.C:
		case <-deadline.C:
			next.Stop()
			return false, ErrNotYet
		case <-ctx.Done():
			next.Stop()
			return false, context.Cause(ctx)
		}
	}
}
