package aggregatetest_test

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/domain/aggregatetest"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

type openedV1 struct{}

func newCodec() *eventsourcing.Codec[event] {
	return eventsourcing.NewCodec[event](opened{}).
		History(opened{}, eventsourcing.Upcast(func(openedV1) opened { return opened{} })).
		Retire(painted{}).
		RetireAs("test/door/unlocked", opened{}, eventsourcing.Upcast(func(openedV1) openedV1 { return openedV1{} }))
}

func files() fstest.MapFS {
	out := fstest.MapFS{}
	for _, name := range []string{"opened.v1", "opened.v2", "opened.v2.wide", "painted.v1", "unlocked.v1"} {
		out[name+".json"] = &fstest.MapFile{Data: []byte(`{}`)}
	}
	return out
}

func TestStoredAcceptsRetiredEventsAndMoreFiles(t *testing.T) {
	t.Parallel()
	aggregatetest.Stored(t, newCodec(), files())
}

func TestGoldenFilesRequiresEveryFile(t *testing.T) {
	t.Parallel()
	golden, err := aggregatetest.GoldenFiles(newCodec(), files())
	require.NoError(t, err)
	require.Len(t, golden, 5)
	assert.Equal(t, aggregatetest.Golden{
		File: "opened.v2.wide.json", Name: "test/door/opened", Schema: 2, Payload: []byte(`{}`),
	}, golden[2])
	for name := range files() {
		if name == "opened.v2.wide.json" {
			continue
		}
		less := files()
		delete(less, name)
		_, err := aggregatetest.GoldenFiles(newCodec(), less)
		require.ErrorContains(t, err, "open "+name)
	}
	for _, name := range []string{"opened.v3.json", "opened.v10.json", "closed.v1.json", "opened.json", "unlocked.v2.json"} {
		more := files()
		more[name] = &fstest.MapFile{}
		_, err := aggregatetest.GoldenFiles(newCodec(), more)
		require.ErrorContains(t, err, name+": no such event in the codec")
	}
}

// TestStoredAcceptsAShapeThatIsReadBeforeItIsWritten: what the former shape lacks is not written yet.
func TestStoredAcceptsAShapeThatIsReadBeforeItIsWritten(t *testing.T) {
	t.Parallel()
	codec := eventsourcing.NewCodec[event](labelled{}).
		History(labelled{}, eventsourcing.Upcast(func(v1 labelledV1) labelled { return labelled{Text: v1.Label} })).
		WriteFormer(labelled{}, eventsourcing.Downcast(func(e labelled) labelledV1 { return labelledV1{Label: e.Text} }))
	aggregatetest.Stored(t, codec, fstest.MapFS{
		"labelled.v1.json":        &fstest.MapFile{Data: []byte(`{"label":"a"}`)},
		"labelled.v2.json":        &fstest.MapFile{Data: []byte(`{"text":"a"}`)},
		"labelled.v2.colour.json": &fstest.MapFile{Data: []byte(`{"text":"a","colour":"red"}`)},
	})
}

type labelled struct {
	Text   string `json:"text"`
	Colour string `json:"colour,omitzero"`
}

type labelledV1 struct {
	Label string `json:"label"`
}

func (labelled) EventName() string { return "test/door/labelled" }
func (labelled) isDoorEvent()      {}
