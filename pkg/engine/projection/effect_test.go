package projection_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// rung is an effect: the bell rings for each book that is placed on a shelf. A ring is an item that is written with the fence.
type rung struct {
	lib    *library
	broken bool
	lost   bool // the next answer is
	mute   bool
}

func (r *rung) source() projection.Source {
	return projection.NewEffectSource(projection.Effect{
		Category: "test/book", Row: "bell", Apply: r.apply, Had: r.had,
		Knows: func(name string, schema int) bool { return name != "test/book/unknown" && schema == 1 },
		Concerns: func(rec eventsourcing.Record) (bool, error) {
			if rec.Name == "test/book/unknown" {
				return false, eventsourcing.ErrUnknownEvent
			}
			return rec.Name == "test/book/placed", nil
		},
	})
}

func (r *rung) apply(ctx context.Context, rec eventsourcing.Record, fence types.TransactWriteItem) (bool, error) {
	if r.mute {
		return false, nil
	}
	if r.broken {
		return false, fmt.Errorf("%w: no bell", projection.ErrNoEffect)
	}
	text := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
	_, err := r.lib.db.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{fence, {
		Update: &types.Update{
			TableName: aws.String("rings"), Key: projection.Item{"id": text(rec.ID), "row": text("ring")},
			UpdateExpression:          aws.String("ADD times :one"),
			ExpressionAttributeValues: projection.Item{":one": &types.AttributeValueMemberN{Value: "1"}},
		},
	}}})
	if _, refused := errors.AsType[*types.TransactionCanceledException](err); refused {
		return false, projection.ErrMoved
	}
	if err == nil && r.lost {
		r.lost = false
		return false, errors.New("answer lost")
	}
	return true, err
}

// had looks for the rings of records.
func (r *rung) had(_ context.Context, records []eventsourcing.Record) (n int, err error) {
	rings := r.rings() //nolint:contextcheck // the library outlives it
	for i, rec := range records {
		if rings[rec.ID] != "" {
			n = i + 1
		}
	}
	return n, nil
}

// rings returns how often the bell rang for each event.
func (r *rung) rings() map[string]string {
	out, err := r.lib.db.Scan(context.Background(), &dynamodb.ScanInput{TableName: aws.String("rings")})
	require.NoError(r.lib.t, err)
	rings := map[string]string{}
	for _, item := range out.Items {
		row := plain(r.lib.t, item)
		rings[row["id"].(string)] = fmt.Sprint(row["times"]) //nolint:errcheck,forcetypeassert // a key
	}
	return rings
}

func newBell(t *testing.T) *rung {
	t.Helper()
	r := &rung{lib: newLibrary(t)}
	_, err := r.lib.db.CreateTable(t.Context(), projection.CreateTableInput("rings"))
	require.NoError(t, err)
	r.lib.config.Sources = []projection.Source{r.source()}
	return r
}

func (r *rung) fence(p *projection.Projector) eventsourcing.Version {
	applied, err := p.Applied(context.Background(), []eventsourcing.StreamID{bookStream("b")})
	require.NoError(r.lib.t, err)
	return applied[bookStream("b")]
}

func TestAnEffectComesOnceForEachEventInAnyOrderOfDelivery(t *testing.T) {
	t.Parallel()
	r := newBell(t)
	p := r.lib.projector()
	records := r.lib.append(bookStream("b"), titled{"a"}, placed{"s1"}, titled{"b"}, titled{"c"}, placed{"s2"}, placed{"s3"}, titled{"d"})
	once := map[string]string{records[1].ID: "1", records[4].ID: "1", records[5].ID: "1"}

	r.lost = true
	_, err := p.Apply(t.Context(), records[4:5])
	require.Error(t, err)
	apply(t, p, records[4:5])
	assert.Equal(t, map[string]string{records[1].ID: "1", records[4].ID: "1"}, r.rings(), "what came before was healed")
	other := r.lib.config
	other.Metrics = nil
	apply(t, r.lib.projectorOf(other), records)
	apply(t, p, records) // it remembers an older fence
	apply(t, p, records[:2])
	assert.Equal(t, once, r.rings())
	assert.EqualValues(t, len(records), r.fence(p))

	r.mute = true
	apply(t, p, r.lib.append(bookStream("b"), placed{"s4"}))
	assert.EqualValues(t, len(records)+1, r.fence(p), "an effect that writes nothing")
	r.mute = false
	apply(t, p, r.lib.log.records[bookStream("b")])
	assert.Equal(t, once, r.rings(), "has happened, too")

	c, err := p.Compare(t.Context(), bookStream("b"))
	require.NoError(t, err)
	assert.Empty(t, c.Wrong)
}

func TestEventsWithoutAnEffectShareOneWrite(t *testing.T) {
	t.Parallel()
	r := newBell(t)
	p := r.lib.projector()
	var events []event
	for range 50 {
		events = append(events, titled{"a"})
	}
	events = append(events, placed{"s"})
	before := r.lib.server.Calls()
	apply(t, p, r.lib.append(bookStream("b"), events...))
	assert.EqualValues(t, 1, r.lib.server.Calls()["DynamoDB.TransactWriteItems"]-before["DynamoDB.TransactWriteItems"])
	assert.EqualValues(t, 0, r.lib.server.Calls()["DynamoDB.PutItem"]-before["DynamoDB.PutItem"])
}

func TestAnEffectThatCannotBeBroughtAboutParksItsStream(t *testing.T) {
	t.Parallel()
	r := newBell(t)
	p := r.lib.projector()
	r.broken = true
	records := r.lib.append(bookStream("b"), titled{"a"}, placed{"s1"}, placed{"s2"})
	apply(t, p, records)
	parked, found, err := p.ParkedStream(t.Context(), bookStream("b"))
	require.NoError(t, err)
	require.True(t, found)
	assert.EqualValues(t, 2, parked.Version)
	assert.EqualValues(t, 1, r.fence(p), "what comes before it was applied")
	assert.Empty(t, r.rings())

	r.broken = false
	fence, err := p.Redrive(t.Context(), bookStream("b"))
	require.NoError(t, err)
	assert.EqualValues(t, 3, fence)
	assert.Equal(t, map[string]string{records[1].ID: "1", records[2].ID: "1"}, r.rings())
}

// What the effects have left says which have come. So neither a lost table nor a row that something else has changed repeats one, however
// the next events are learnt of.
func TestALostFenceIsDerivedFromTheEffects(t *testing.T) {
	t.Parallel()
	of := bookStream("b")
	for name, lose := range map[string]func(*library){
		"the row": func(lib *library) {
			_, err := lib.db.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{
				TableName: aws.String(table), Key: projection.Item{"id": text(of.ID), "row": text("bell")},
			})
			require.NoError(t, err)
		},
		"its version": func(lib *library) { lib.damage(of.ID, "bell", "version", text("five")) },
	} {
		for learnt, deliver := range map[string]func(*rung, *projection.Projector) error{
			"by its message": func(r *rung, p *projection.Projector) error {
				all := r.lib.log.records[of]
				_, err := p.Apply(t.Context(), all[len(all)-1:])
				return err
			},
			"by all messages again": func(r *rung, p *projection.Projector) error {
				for _, rec := range r.lib.log.records[of] {
					if _, err := p.Apply(t.Context(), []eventsourcing.Record{rec}); err != nil {
						return err
					}
				}
				return nil
			},
			"by a catch-up": func(r *rung, p *projection.Projector) error {
				done, err := p.CatchUp(t.Context(), r.lib.log.all())
				assert.Equal(t, projection.CaughtUp{Records: 6, Behind: 1, Applied: 2}, done, "an effect, and a title that has left no trace")
				return err
			},
			"by a redrive": func(_ *rung, p *projection.Projector) error {
				_, err := p.Redrive(t.Context(), of)
				return err
			},
			"by a rebuild": func(_ *rung, p *projection.Projector) error {
				_, err := p.Rebuild(t.Context(), of)
				return err
			},
		} {
			t.Run(name+" is lost, the next event learnt "+learnt, func(t *testing.T) {
				t.Parallel()
				r := newBell(t)
				p := r.lib.projector() // and remembers its last row
				once := map[string]string{}
				for _, rec := range r.lib.append(of, titled{"a"}, placed{"s1"}, titled{"b"}, placed{"s2"}, titled{"c"}) {
					apply(t, p, []eventsourcing.Record{rec})
				}
				lose(r.lib)
				r.lib.append(of, placed{"s3"})
				for _, rec := range r.lib.log.records[of] {
					if rec.Name == "test/book/placed" {
						once[rec.ID] = "1"
					}
				}
				require.NoError(t, deliver(r, p))
				assert.Equal(t, once, r.rings())
				assert.EqualValues(t, 6, r.fence(p))
			})
		}
	}
}

func TestARebuildOfEffectsRepeatsNone(t *testing.T) {
	t.Parallel()
	r := newBell(t)
	p := r.lib.projector()
	records := r.lib.append(bookStream("b"), placed{"s1"}, titled{"a"})
	apply(t, p, records)
	before := r.lib.contents()
	fence, err := p.Rebuild(t.Context(), bookStream("b"))
	require.NoError(t, err)
	assert.EqualValues(t, 2, fence)
	assert.Equal(t, before, r.lib.contents(), "a fence that is there stays")

	r.lib.append(bookStream("n"), titled{"a"})
	apply(t, p, r.lib.log.records[bookStream("n")])
	r.lib.damage("n", "bell", "version", text("one"))
	fence, err = p.Rebuild(t.Context(), bookStream("n"))
	require.NoError(t, err)
	assert.EqualValues(t, 1, fence, "a stream without an effect begins anew")

	// A draft may fill an empty table: its effects come in their order, once.
	more := r.lib.append(bookStream("c"), titled{"a"}, placed{"s1"})
	d, err := p.Draft(bookStream("c"))
	require.NoError(t, err)
	d.Add(more)
	require.NoError(t, d.Store(t.Context(), new(projection.CaughtUp)))
	assert.Equal(t, map[string]string{records[0].ID: "1", more[1].ID: "1"}, r.rings())
	assert.Zero(t, r.lib.metric("projection_rebuilt_total"))
}
