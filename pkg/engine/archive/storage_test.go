package archive_test

import (
	"context"
	"encoding/xml"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/engine/archive"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func names(ctx context.Context, t *testing.T, storage archive.Storage, prefix string) (out []string) {
	t.Helper()
	for name, err := range storage.List(ctx, prefix) {
		require.NoError(t, err)
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// keepsFiles is what every Storage promises; it begins empty.
func keepsFiles(t *testing.T, storage archive.Storage) {
	t.Helper()
	ctx := t.Context()
	assert.Empty(t, names(ctx, t, storage, "events/"), "an archive that does not exist is empty")
	files := map[string]string{
		"events/year=2026/a.gz": "first", "events/year=2026/month=11/b.gz": "\x00\xff", "errors/c.gz": "", "events/d": "d",
	}
	for name, content := range files {
		require.NoError(t, storage.Put(ctx, name, []byte(content)))
	}
	assert.Equal(t, []string{"events/d", "events/year=2026/a.gz", "events/year=2026/month=11/b.gz"}, names(ctx, t, storage, "events/"))
	for name, content := range files {
		got, err := storage.Get(ctx, name)
		require.NoError(t, err)
		assert.Equal(t, content, string(got), name)
	}
	_, err := storage.Get(ctx, "events/none")
	require.ErrorContains(t, err, "events/none")
	for _, err := range storage.List(ctx, "events/") {
		require.NoError(t, err)
		break // a caller may stop
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	for _, err = range storage.List(gone, "events/") {
	}
	require.ErrorIs(t, err, context.Canceled)
}

func TestAFolderKeepsFiles(t *testing.T) {
	t.Parallel()
	keepsFiles(t, archive.Folder(filepath.Join(t.TempDir(), "not", "there")))
}

// A process that is killed while it writes leaves nothing that a reader takes for a file of the archive.
func TestAFileThatIsNotWholeIsNotListed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "events", "x.gz"), 0o700)) // the rename fails
	require.Error(t, archive.Folder(dir).Put(t.Context(), "events/x.gz", []byte("content")))
	left, err := filepath.Glob(filepath.Join(dir, "begun", "*"))
	require.NoError(t, err)
	assert.Len(t, left, 1, "as a kill before the rename leaves it")
	assert.Empty(t, names(t.Context(), t, archive.Folder(dir), "events/"))
}

func TestABucketKeepsFiles(t *testing.T) {
	t.Parallel()
	keepsFiles(t, newBucket(t, &fakeS3{}, ""))
	s := &fakeS3{}
	keepsFiles(t, newBucket(t, s, "a/prefix/"))
	keepsFiles(t, newBucket(t, s, "another/"))
}

// TestABucketOfAnS3KeepsFiles runs where LEFTFOLD_TEST_BUCKET names an empty bucket that the AWS environment reaches: of AWS, or of an
// S3 that AWS_ENDPOINT_URL_S3 names.
func TestABucketOfAnS3KeepsFiles(t *testing.T) {
	t.Parallel()
	bucket := os.Getenv("LEFTFOLD_TEST_BUCKET")
	if bucket == "" {
		t.Skip("LEFTFOLD_TEST_BUCKET is not set")
	}
	cfg, err := config.LoadDefaultConfig(t.Context())
	require.NoError(t, err)
	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.UsePathStyle = cfg.BaseEndpoint != nil || os.Getenv("AWS_ENDPOINT_URL_S3") != ""
	})
	keepsFiles(t, archive.Bucket{Client: client, Name: bucket, Prefix: "leftfold-test/"})
}

// A body whose connection breaks is fetched again.
func TestABrokenBodyIsFetchedAgain(t *testing.T) {
	t.Parallel()
	s := &fakeS3{}
	b := newBucket(t, s, "")
	require.NoError(t, b.Put(t.Context(), "events/x", []byte("whole")))
	s.broken = 2
	got, err := b.Get(t.Context(), "events/x")
	require.NoError(t, err)
	assert.Equal(t, "whole", string(got))
	s.broken = 3
	_, err = b.Get(t.Context(), "events/x")
	require.ErrorContains(t, err, "get s3://archive/events/x")
}

func newBucket(t *testing.T, handler http.Handler, prefix string) archive.Bucket {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	client := s3.New(s3.Options{
		BaseEndpoint: &server.URL, Region: "us-east-1", UsePathStyle: true, HTTPClient: server.Client(),
		Credentials: aws.NewCredentialsCache(credentials.NewStaticCredentialsProvider("x", "x", "")),
	})
	return archive.Bucket{Client: client, Name: "archive", Prefix: prefix}
}

// fakeS3 is what a Bucket uses of S3: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
type fakeS3 struct {
	mu      sync.Mutex
	objects map[string][]byte
	broken  int // bodies that end early
}

func (f *fakeS3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key, isObject := strings.CutPrefix(r.URL.Path, "/archive/")
	content, exists := f.objects[key]
	switch {
	case r.Method == http.MethodPut:
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if f.objects == nil {
			f.objects = map[string][]byte{}
		}
		f.objects[key] = body
	case !isObject || key == "":
		f.list(w, r)
	case !exists:
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `<Error><Code>NoSuchKey</Code></Error>`)
	case f.broken > 0:
		f.broken--
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write(content)
	default:
		_, _ = w.Write(content)
	}
}

// list answers two keys a page.
func (f *fakeS3) list(w http.ResponseWriter, r *http.Request) {
	type object struct{ Key string }
	var page struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		IsTruncated           bool
		NextContinuationToken string
		Contents              []object
	}
	for _, key := range slices.Sorted(func(yield func(string) bool) {
		for key := range f.objects {
			if !yield(key) {
				return
			}
		}
	}) {
		if !strings.HasPrefix(key, r.URL.Query().Get("prefix")) || key <= r.URL.Query().Get("continuation-token") {
			continue
		}
		if len(page.Contents) == 2 {
			page.IsTruncated, page.NextContinuationToken = true, page.Contents[1].Key
			break
		}
		page.Contents = append(page.Contents, object{key})
	}
	_ = xml.NewEncoder(w).Encode(page)
}
