package trail

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// TestLinesAreStoredUnderTheseKeys: a build that makes other keys needs a shape of its own, or it does not find what this one wrote.
func TestLinesAreStoredUnderTheseKeys(t *testing.T) {
	t.Parallel()
	const id = "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57"
	of := eventsourcing.Record{
		ID: "e-1", Stream: eventsourcing.StreamID{Category: user.Category, ID: id}, Version: 7, Name: "org/iam/user/disabled",
		RecordedAt: time.Date(2026, 11, 28, 23, 59, 59, 7e6, time.UTC).In(time.FixedZone("", 3600)),
		Metadata:   eventsourcing.Metadata{Actor: "dan", CorrelationID: "checkout-4711"},
	}
	const name = "001795910399007#00000000000000000007#e-1"
	data := line{Name: "org/iam/user/disabled", Actor: "dan"}
	assert.Equal(t, []projection.Row{
		{ID: "day#2026-11-28#3", Row: name, Data: data},
		{ID: "actor#7E8tuzsUAJVVDJr7u2m11g#3", Row: name, Data: data},
		{ID: "correlation#tz2tFW-8J9ovBiqlcjbkDQ#3", Row: name, Data: data},
	}, lines(of))
}
