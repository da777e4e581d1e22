package eventsourcing_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/memstore"
)

var errThere = &eventsourcing.Refusal{Kind: eventsourcing.FailedPrecondition, Code: "there", Reason: "there already"}

// open begins a counter with a name.
type open struct{ name string }

func (open) Opens() {}

func (o open) Decide(c counter) ([]event, error) {
	if c.N > 0 {
		return nil, errThere
	}
	return []event{named{o.name}, counted{}}, nil
}

// opener is a repository whose reads and appends are noted.
type opener struct {
	*cachedCounters
	appends *scripted
}

func newOpener(t *testing.T, cache int) opener {
	t.Helper()
	o := opener{cachedCounters: newCached(t, cache)}
	if cache == 0 {
		o.Cache = nil
	}
	o.appends = &scripted{Store: o.store}
	o.Store = o.appends
	return o
}

func (o opener) open(id, name string, with ...eventsourcing.Option) (eventsourcing.Version, error) {
	return o.repository().Do(o.t.Context(), id, open{name}, with...)
}

func TestAnOpeningNeedsNoRead(t *testing.T) {
	t.Parallel()
	for _, cache := range []int{0, 1} {
		o := newOpener(t, cache)
		version, err := o.open("c1", "ann")
		require.NoError(t, err)
		assert.Equal(t, eventsourcing.Version(2), version)
		assert.Empty(t, o.store.reads)
		if cache > 0 {
			_, err = o.Do(t.Context(), "c1", emit(counted{}))
			require.NoError(t, err)
			assert.Equal(t, []eventsourcing.CacheUse{eventsourcing.CacheHit, eventsourcing.CacheHit}, o.uses)
		}
		assert.Len(t, o.appends.commits, 1+cache)
		assert.Empty(t, o.store.reads)
	}
}

// Whatever an opening meets is answered as if the stream had been read first.
func TestAnOpeningThatMeetsAStreamIsDecidedOnARead(t *testing.T) {
	t.Parallel()
	atOne := eventsourcing.WithVersions(func(v eventsourcing.Version) bool { return v == 1 })
	for name, c := range map[string]struct {
		id, name       string
		with           []eventsourcing.Option
		err            error
		appends, reads int
	}{
		"a stream that is there":                {"there", "new", nil, errThere, 1, 1},
		"its own name, too":                     {"there", "held", nil, errThere, 1, 1},
		"a stream and a name of another":        {"there", "other's", nil, errThere, 1, 1},
		"a name of another":                     {"new", "held", nil, eventsourcing.ErrClaimTaken, 1, 0},
		"a command that was carried out":        {"new", "new", []eventsourcing.Option{asCommand()}, eventsourcing.ErrCommandRepeated, 1, 0},
		"that command and the stream":           {"there", "held", []eventsourcing.Option{asCommand()}, eventsourcing.ErrCommandRepeated, 1, 0},
		"a version that it does not have":       {"new", "new", []eventsourcing.Option{atOne}, eventsourcing.ErrVersionMismatch, 0, 1},
		"a stream at a version that is allowed": {"there", "new", []eventsourcing.Option{eventsourcing.WithVersions(nil)}, errThere, 1, 1},
	} {
		for _, cache := range []int{0, 1} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				o := newOpener(t, cache)
				_, err := o.rival.repository().Do(t.Context(), "there", open{"held"}, asCommand())
				require.NoError(t, err)
				_, err = o.rival.repository().Do(t.Context(), "others", open{"other's"})
				require.NoError(t, err)

				_, err = o.open(c.id, c.name, c.with...)
				require.ErrorIs(t, err, c.err)
				if c.err == errThere || c.err == eventsourcing.ErrVersionMismatch { //nolint:errorlint // bare is the point
					assert.Equal(t, c.err, err, "and nothing around it")
				}
				assert.Len(t, o.appends.commits, c.appends)
				assert.Len(t, o.store.reads, c.reads)
				for _, use := range o.uses {
					assert.Equal(t, c.reads > 0, use == eventsourcing.CacheMiss, use)
				}
				assert.Len(t, o.uses, cache)
				state, version, err := o.rival.Load(t.Context(), "there")
				require.NoError(t, err)
				assert.Equal(t, counter{Name: "held", N: 1}, state)
				assert.Equal(t, eventsourcing.Version(2), version)
				_, version, err = o.rival.Load(t.Context(), "new")
				require.NoError(t, err)
				assert.Zero(t, version)
			})
		}
	}
}

func TestAnOpeningOfAKnownStreamIsDecidedOnWhatIsKnown(t *testing.T) {
	t.Parallel()
	o := newOpener(t, 1)
	_, err := o.open("c1", "ann")
	require.NoError(t, err)
	_, err = o.open("c1", "bob")
	assert.Equal(t, error(errThere), err)
	assert.Len(t, o.appends.commits, 1, "what is known refuses it")
	assert.Len(t, o.store.reads, 1, "and a read confirms that")
}

func TestWhatIsNoOpeningIsReadFirst(t *testing.T) {
	t.Parallel()
	store := &watched{Store: new(memstore.Store)}
	_, err := newCounters(store).Do(t.Context(), "c1", emit(counted{}))
	require.NoError(t, err)
	assert.Len(t, store.reads, 1)
}
