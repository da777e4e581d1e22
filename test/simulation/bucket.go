package simulation

import (
	"bytes"
	"compress/gzip"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/leftfold/leftfold/pkg/engine/envelope"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// bucketName is the bucket of the archive, and where it lies.
const (
	bucketName = "archive"
	bucketURL  = "s3://" + bucketName
)

// bucket is object storage in memory, as far as an archive uses it:
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
// It lists objects in the order of their arrival, which is the same in every run, unlike their names.
type bucket struct {
	mu      sync.Mutex
	objects []file
	losses  int
}

// file is an object, and the events that it has.
type file struct {
	name    string
	content []byte
	events  []archivedEvent
}

// archivedEvent is an event in the archive, since then.
type archivedEvent struct {
	stream  string
	version eventsourcing.Version
	at      time.Time
}

// do carries out a call of S3.
func (b *bucket) do(c *call) *answer {
	b.mu.Lock()
	defer b.mu.Unlock()
	name := keyOf(c)
	switch c.op {
	case "S3.PutObject":
		b.remove(name)
		b.objects = append(b.objects, file{name, c.raw, eventsIn(c.raw)})
		return &answer{status: http.StatusOK, header: http.Header{}}
	case "S3.GetObject":
		for _, f := range b.objects {
			if f.name == name {
				return &answer{status: http.StatusOK, header: http.Header{}, body: f.content}
			}
		}
		return failure(http.StatusNotFound, "NoSuchKey")
	default:
		return b.list()
	}
}

// failure is an error of S3.
func failure(status int, code string) *answer {
	return &answer{status: status, header: http.Header{}, body: []byte("<Error><Code>" + code + "</Code></Error>")}
}

func (b *bucket) list() *answer {
	type entry struct{ Key string }
	var page struct {
		XMLName  xml.Name `xml:"ListBucketResult"`
		Contents []entry
	}
	for _, f := range b.objects {
		page.Contents = append(page.Contents, entry{f.name})
	}
	body, err := xml.Marshal(page)
	must(err)
	return &answer{status: http.StatusOK, header: http.Header{"Content-Type": {"application/xml"}}, body: body}
}

func (b *bucket) remove(name string) {
	b.objects = slices.DeleteFunc(b.objects, func(f file) bool { return f.name == name })
}

// lose deletes an object.
func (b *bucket) lose(pick uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := uint64(len(b.objects)); n > 0 {
		b.remove(b.objects[pick%n].name)
		b.losses++
	}
}

// since returns since when each event is in the archive, and how many objects were lost so far.
func (b *bucket) since() (at map[archivedEvent]time.Time, losses int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	at = map[archivedEvent]time.Time{}
	for _, f := range b.objects {
		for _, e := range f.events {
			key := archivedEvent{stream: e.stream, version: e.version}
			if at[key].IsZero() {
				at[key] = e.at
			}
		}
	}
	return at, b.losses
}

// keyOf returns the key of an object that a call names.
func keyOf(c *call) string {
	u, err := url.Parse(c.url)
	must(err)
	return strings.TrimPrefix(u.Path, "/"+bucketName+"/")
}

// eventsIn returns the events of an object of the archive.
func eventsIn(content []byte) (out []archivedEvent) {
	unzipped, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		return nil
	}
	lines, _ := io.ReadAll(unzipped) // of a broken object, what there is
	for line := range bytes.Lines(lines) {
		if e, err := envelope.Decode(line); err == nil {
			out = append(out, archivedEvent{e.Stream.String(), e.Version, time.Now()})
		}
	}
	return out
}
