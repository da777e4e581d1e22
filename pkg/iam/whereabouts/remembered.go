package whereabouts

import (
	"context"
	"net/url"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/adminclient"
)

// Remembered asks every service what it remembers: of a stream, of a version of it, or of the event of an id. An address that gives no
// answer is reported to missing; it is an adminclient.ErrNothingThere if none gives one.
func Remembered(
	ctx context.Context, services *adminclient.Client, query url.Values, missing func(address string, err error),
) (all []service.Journey, err error) {
	err = adminclient.Each(ctx, services, "/journey?"+query.Encode(),
		func(_ string, j service.Journey) { all = append(all, j) }, missing)
	return all, err
}

// Event returns the event that journeys of one event are of. found is false if no process remembers a step of it.
func Event(journeys []service.Journey) (stream eventsourcing.StreamID, version eventsourcing.Version, found bool, err error) {
	for _, j := range journeys {
		for _, s := range j.Steps {
			stream, err := eventsourcing.ParseStreamID(s.Stream)
			return stream, s.Version, err == nil, err
		}
	}
	return stream, 0, false, nil
}
