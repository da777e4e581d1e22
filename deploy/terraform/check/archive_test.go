package check_test

import (
	"path"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/archive"
	"github.com/leftfold/leftfold/pkg/engine/shards"
)

// Firehose writes what the reader of the archive expects, into the folders into which the writer for other places writes.
func TestFirehoseWritesTheArchiveAsItIsRead(t *testing.T) {
	t.Parallel()
	firehose := data(t, nil).Resources["aws_kinesis_firehose_delivery_stream"]["archive"][""]
	s3 := firehose.Blocks["extended_s3_configuration"][0]
	assert.Equal(t, "GZIP", s3.Text("compression_format"))
	processing := s3.Blocks["processing_configuration"][0]
	assert.Equal(t, "True", processing.Attributes["enabled"].GoString()[len("cty."):])
	assert.Equal(t, "AppendDelimiterToRecord", processing.Blocks["processors"][0].Text("type"), "a new line after each record")
	assert.Len(t, processing.Blocks["processors"], 1)

	at := time.Date(2026, 11, 28, 10, 31, 4, 0, time.UTC)
	folder := archive.Folder(t.TempDir())
	writer := archive.Writer{Storage: folder, Now: func() time.Time { return at }}
	require.NoError(t, writer.Handle(t.Context(), "shard", []shards.Record[[]byte]{{Value: []byte("{}")}}))
	for name, err := range folder.List(t.Context(), "") {
		require.NoError(t, err)
		prefix := strings.NewReplacer("!{timestamp:yyyy}", "2026", "!{timestamp:MM}", "11", "!{timestamp:dd}", "28", "!{timestamp:HH}", "10").
			Replace(s3.Text("prefix"))
		assert.Equal(t, path.Dir(name)+"/", prefix)
	}
	assert.True(t, strings.HasPrefix(s3.Text("error_output_prefix"), "errors/"), "beside what the reader lists")
}
