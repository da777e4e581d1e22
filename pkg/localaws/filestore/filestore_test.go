package filestore_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/pkg/localaws/filestore"
)

var update = flag.Bool("update", false, "write testdata again, as this release writes it")

func TestMain(m *testing.M) {
	if dir := os.Getenv(serveVariable); dir != "" {
		serve(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

func open(t *testing.T, dir string) *filestore.Store {
	t.Helper()
	s, err := filestore.OpenQuiet(dir)
	require.NoError(t, err)
	return s
}

func put(key, value string) localaws.Change {
	return localaws.Change{Key: []byte(key), Value: []byte(value)}
}

func state(t *testing.T, s *filestore.Store) map[string]string {
	t.Helper()
	out := map[string]string{}
	require.NoError(t, s.Each(nil, func(key, value []byte) error {
		out[string(key)] = string(value)
		return nil
	}))
	return out
}

// killed returns a copy of a directory as a kill of the process at this moment leaves it.
func killed(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	require.NoError(t, os.CopyFS(to, os.DirFS(dir)))
	return to
}

// theJournal returns the path of the only journal.
func theJournal(t *testing.T, dir string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "journal-*"))
	require.NoError(t, err)
	require.Len(t, found, 1)
	return found[0]
}

func TestAWriteThatWasCutOffIsLeftOutAndAllBeforeItAreKept(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, dir)
	require.NoError(t, s.Write([]localaws.Change{put("a", "1"), put("b", "2")}))
	whole := killed(t, dir)
	require.NoError(t, s.Write([]localaws.Change{put("a", "3"), {Key: []byte("b")}, put("c", "")}))
	both := killed(t, dir)
	require.NoError(t, s.Close())

	first, err := os.ReadFile(theJournal(t, whole))
	require.NoError(t, err)
	all, err := os.ReadFile(theJournal(t, both))
	require.NoError(t, err)
	for n := len(first); n <= len(all); n++ {
		copied := killed(t, both)
		require.NoError(t, os.Truncate(theJournal(t, copied), int64(n)))
		s := open(t, copied)
		if n < len(all) {
			require.Equal(t, map[string]string{"a": "1", "b": "2"}, state(t, s), "%d of %d bytes", n, len(all))
		} else {
			require.Equal(t, map[string]string{"a": "3", "c": ""}, state(t, s))
		}
		require.NoError(t, s.Write([]localaws.Change{put("d", "4")}))
		require.NoError(t, s.Close())
		s = open(t, copied)
		require.Equal(t, "4", state(t, s)["d"], "writes go on after it")
		require.NoError(t, s.Close())
	}
}

func TestWhatFollowsADamagedOrMissingBatchIsLeftOut(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, dir)
	for i := range 3 {
		require.NoError(t, s.Write([]localaws.Change{put(strconv.Itoa(i), "x")}))
	}
	copied := killed(t, dir)
	require.NoError(t, s.Close())
	path := theJournal(t, copied)
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	first, second, third := whole[:len(whole)/3], whole[len(whole)/3:2*len(whole)/3], whole[2*len(whole)/3:]
	damaged := bytes.Clone(second)
	damaged[len(damaged)-1]++
	for name, journal := range map[string][]byte{
		"damaged": slices.Concat(first, damaged, third),
		"missing": slices.Concat(first, third),
	} {
		dir := killed(t, copied)
		require.NoError(t, os.WriteFile(theJournal(t, dir), journal, 0o600))
		s = open(t, dir)
		assert.Equal(t, map[string]string{"0": "x"}, state(t, s), "%s: what follows may depend on it", name)
		require.NoError(t, s.Close())
	}
}

func TestADirectoryHasOneUserAtATime(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, dir)
	_, err := filestore.Open(dir)
	require.ErrorContains(t, err, fmt.Sprintf("%s is in use by process %d on host ", dir, os.Getpid()))
	require.ErrorContains(t, err, "stop that, or name another directory")
	require.NoError(t, s.Close())
	require.NoError(t, open(t, dir).Close())
}

func TestWhatIsNotADataDirectoryIsLeftAlone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		make func(dir string) error
		want string
	}{
		"files of something else": {
			func(dir string) error { return os.WriteFile(filepath.Join(dir, "letter.txt"), nil, 0o600) },
			"is not a data directory of an embedded AWS, for it has letter.txt: name another directory, new or empty",
		},
		"a damaged database": {
			func(dir string) error {
				return os.WriteFile(filepath.Join(dir, "state.db"), make([]byte, 1<<16), 0o600)
			},
			"name another directory, or restore this one",
		},
		"another program's database": {
			func(dir string) error {
				return bolt(dir, func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("theirs")); return err })
			},
			"is of another program: name another directory, new or empty",
		},
		"a newer release": {
			func(dir string) error {
				s, err := filestore.Open(dir)
				if err != nil || s.Close() != nil {
					return err
				}
				return bolt(dir, func(tx *bbolt.Tx) error {
					return tx.Bucket([]byte("localaws")).Put([]byte("format"), []byte{0, 0, 0, 0, 0, 0, 0, 2})
				})
			},
			"was written by a newer release (its format is 2, this release reads up to 1): use that release, or name another directory",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			require.NoError(t, c.make(dir))
			before, err := os.ReadDir(dir)
			require.NoError(t, err)
			_, err = filestore.Open(dir)
			require.ErrorContains(t, err, c.want)
			after, err := os.ReadDir(dir)
			require.NoError(t, err)
			assert.Len(t, after, len(before))
		})
	}
}

func bolt(dir string, change func(*bbolt.Tx) error) error {
	db, err := bbolt.Open(filepath.Join(dir, "state.db"), 0o600, nil)
	if err != nil {
		return err
	}
	if err := db.Update(change); err != nil {
		return err
	}
	return db.Close()
}

func TestTheSizeFollowsWhatIsKeptAndNotWhatWasWritten(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	value := string(bytes.Repeat([]byte("x"), 1<<20))
	s := open(t, dir)
	for range 12 { // 48 MB written, of which 4 are kept, and 32 at most at once
		for i := range 4 {
			require.NoError(t, s.Write([]localaws.Change{put(strconv.Itoa(i), value)}))
		}
	}
	for i := range 28 {
		require.NoError(t, s.Write([]localaws.Change{put("more"+strconv.Itoa(i), value)}))
	}
	require.NoError(t, s.Close())
	require.Greater(t, size(t, dir), int64(32<<20))
	s = open(t, dir)
	for i := range 28 {
		require.NoError(t, s.Write([]localaws.Change{{Key: []byte("more" + strconv.Itoa(i))}}))
	}
	require.NoError(t, s.Close())
	require.NoError(t, open(t, dir).Close())
	assert.Less(t, size(t, dir), int64(16<<20))
}

func size(t *testing.T, dir string) (sum int64) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		info, err := e.Info()
		require.NoError(t, err)
		sum += info.Size()
	}
	return sum
}

func TestASnapshotHasEverythingAndStartsAnotherDirectory(t *testing.T) {
	t.Parallel()
	dir, other := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "other")
	s := open(t, dir)
	want := map[string]string{}
	for i := range 100 {
		key, value := strconv.Itoa(i), string(bytes.Repeat([]byte{byte(i)}, 1<<15))
		require.NoError(t, s.Write([]localaws.Change{put(key, value)}))
		want[key] = value
	}
	var snapshot bytes.Buffer
	require.NoError(t, s.Snapshot(&snapshot))
	require.NoError(t, s.Write([]localaws.Change{put("later", "")}))
	require.NoError(t, s.Close())

	require.NoError(t, filestore.Restore(other, bytes.NewReader(snapshot.Bytes())))
	s = open(t, other)
	require.Equal(t, want, state(t, s))
	require.NoError(t, s.Close())

	require.ErrorContains(t, filestore.Restore(other, bytes.NewReader(snapshot.Bytes())), "is not empty: name another one, or remove it")
	third := filepath.Join(t.TempDir(), "third")
	require.ErrorContains(t, filestore.Restore(third, bytes.NewReader(snapshot.Bytes()[:snapshot.Len()-9])), "read the snapshot")
	require.NoDirExists(t, third, "half a snapshot leaves nothing")
	require.ErrorContains(t, filestore.Restore(third, bytes.NewReader([]byte("hello"))), "not a snapshot of an embedded AWS")
}

func TestAStoreThatFailsIsNotWrittenAnyMore(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, dir)
	server, err := localaws.Open(s, localaws.Options{})
	require.NoError(t, err)
	defer server.Close()
	require.EqualValues(t, 200, post(t, server, "/", wire("DynamoDB.CreateTable"), createTable)["status"])
	require.NoError(t, s.Close())
	got := post(t, server, "/", wire("DynamoDB.PutItem"), `{"TableName":"tab","Item":{"h":{"S":"a"},"r":{"N":"1"}}}`)
	assert.Equal(t, 500, got["status"])
	assert.Contains(t, fmt.Sprint(got), "keep the state: the data directory is closed")
	assert.Equal(t, 500, post(t, server, "/", wire("DynamoDB.ListTables"), `{}`)["status"], "what a client sees may be lost")
}

// TestReadsFormat1 reads a directory and a snapshot as the first release that kept anything has written them.
func TestReadsFormat1(t *testing.T) {
	t.Parallel()
	const directory, snapshot, golden = "testdata/format1", "testdata/format1.snapshot", "testdata/format1.json"
	if *update {
		writeFormat(t, directory, snapshot)
	}
	f, err := os.Open(snapshot)
	require.NoError(t, err)
	restored := filepath.Join(t.TempDir(), "restored")
	require.NoError(t, filestore.Restore(restored, f))
	require.NoError(t, f.Close())
	got := reads(t, killed(t, directory))
	if *update {
		require.NoError(t, os.WriteFile(golden, got, 0o600))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))
	require.Equal(t, string(want), string(reads(t, restored)))
}

var writtenAt = time.Unix(1_800_000_000, 0).UTC()

// reads returns every answer of a server with the state of a directory.
func reads(t *testing.T, dir string) []byte {
	t.Helper()
	s := open(t, dir)
	defer func() { require.NoError(t, s.Close()) }()
	server, err := localaws.Open(s, localaws.Options{Now: func() time.Time { return writtenAt.Add(time.Minute) }})
	require.NoError(t, err)
	defer server.Close()
	var all []object
	readAll(func(target, format string, args ...any) object {
		answer := post(t, server, "/", wire(target), fmt.Sprintf(format, args...))
		all = append(all, object{"call": target, "answer": comparable(answer)})
		return answer
	})
	for _, q := range queues {
		answer := post(t, server, "/", "AmazonSQS.ReceiveMessage",
			fmt.Sprintf(`{"QueueUrl":"%s","MaxNumberOfMessages":10,"AttributeNames":["All"],"MessageAttributeNames":["All"]}`, q))
		byBody(answer["Messages"])
		all = append(all, object{"call": "AmazonSQS.ReceiveMessage " + q, "answer": comparable(answer)})
	}
	out, err := json.MarshalIndent(all, "", "  ")
	require.NoError(t, err)
	return append(out, '\n')
}

// writeFormat writes a directory that has an entity of every kind, some of them only in the journal, and a snapshot of it.
func writeFormat(t *testing.T, directory, snapshot string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, dir)
	server, err := localaws.Open(s, localaws.Options{Now: func() time.Time { return writtenAt }})
	require.NoError(t, err)
	defer server.Close()
	var handles []string
	do := func(target, body string) {
		answer := post(t, server, "/", wire(target), body)
		require.Equal(t, 200, answer["status"], "%s: %v", body, answer)
		messages := as[[]any](answer["Messages"])
		for _, m := range messages {
			handles = append(handles, as[string](as[object](m)["ReceiptHandle"]))
		}
	}
	for _, c := range begin {
		do(c.target, c.body)
	}
	for _, c := range formatCalls {
		do(c.target, c.body)
	}
	require.NoError(t, s.Snapshot(io.Discard)) // now all is in the database, and the rest in the journal
	do("AmazonSQS.ChangeMessageVisibility", fmt.Sprintf(`{"QueueUrl":"q.fifo","ReceiptHandle":"%s","VisibilityTimeout":0}`, handles[0]))
	for range 2 { // the second moves it to the dead letters
		do("AmazonSQS.ReceiveMessage", `{"QueueUrl":"q.fifo","VisibilityTimeout":0}`)
	}
	require.NoError(t, server.RotateShards("tab"))
	require.NoError(t, os.RemoveAll(directory))
	require.NoError(t, os.CopyFS(directory, os.DirFS(dir)))
	require.NoError(t, os.Remove(filepath.Join(directory, "owner")))
	f, err := os.Create(snapshot)
	require.NoError(t, err)
	require.NoError(t, s.Snapshot(f))
	require.NoError(t, f.Close())
	require.NoError(t, s.Close())
}

var formatCalls = []struct{ target, body string }{
	{"DynamoDB.PutItem", `{"TableName":"tab","Item":{"h":{"S":"a"},"r":{"N":"-1.5"},"g":{"B":"AAE="},"ttl":{"N":"1800000001"},
		"all":{"L":[{"NULL":true},{"BOOL":true},{"M":{"x":{"SS":["1","2"]}}},{"NS":["1","2.5"]},{"BS":["AA==","AQ=="]}]}}}`},
	{"DynamoDB.UpdateItem", `{"TableName":"tab","Key":{"h":{"S":"a"},"r":{"N":"-1.5"}},"UpdateExpression":"REMOVE g"}`},
	{"DynamoDB.TransactWriteItems", `{"TransactItems":[{"Put":{"TableName":"tab","Item":{"h":{"S":"b"},"r":{"N":"0"},"g":{"B":"AA=="}}}}],
		"ClientRequestToken":"once"}`},
	{"DynamoDB.PutItem", `{"TableName":"tab","Item":{"h":{"S":"c"},"r":{"N":"0"}}}`},
	{"DynamoDB.DeleteItem", `{"TableName":"tab","Key":{"h":{"S":"c"},"r":{"N":"0"}}}`},
	{"Kinesis.PutRecords", `{"StreamName":"s","Records":[{"PartitionKey":"a","Data":"AAH/"},{"PartitionKey":"b","Data":""}]}`},
	{"Kinesis.SplitShard", `{"StreamName":"s","ShardToSplit":"shardId-000000000000","NewStartingHashKey":"12345"}`},
	{"Kinesis.PutRecord", `{"StreamName":"s","PartitionKey":"c","Data":"AA=="}`},
	{"Kinesis.RegisterStreamConsumer", `{"StreamARN":"arn:aws:kinesis:us-east-1:000000000000:stream/s","ConsumerName":"c"}`},
	{"Kinesis.AddTagsToStream", `{"StreamName":"s","Tags":{"c":"d"}}`},
	{"AmazonSQS.SendMessage", `{"QueueUrl":"q.fifo","MessageBody":"one","MessageGroupId":"a","MessageDeduplicationId":"1",
		"MessageAttributes":{"a":{"DataType":"Binary","BinaryValue":"AAE="},"b":{"DataType":"String","StringValue":"x"}}}`},
	{"AmazonSQS.SendMessage", `{"QueueUrl":"q.fifo","MessageBody":"two","MessageGroupId":"b","MessageDeduplicationId":"2"}`},
	{"AmazonSQS.SendMessage", `{"QueueUrl":"plain","MessageBody":"late","DelaySeconds":900}`},
	{"AmazonSQS.SendMessage", `{"QueueUrl":"plain","MessageBody":"now"}`},
	{"AmazonSQS.TagQueue", `{"QueueUrl":"plain","Tags":{"a":"b"}}`},
	{"AmazonSQS.ReceiveMessage", `{"QueueUrl":"q.fifo","VisibilityTimeout":600,"ReceiveRequestAttemptId":"again"}`},
	{"AmazonSQS.CreateQueue", `{"QueueName":"gone"}`},
	{"AmazonSQS.DeleteQueue", `{"QueueUrl":"gone"}`},
}
