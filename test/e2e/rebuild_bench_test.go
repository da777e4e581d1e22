package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/provision"
	"github.com/leftfold/leftfold/test/e2e/processes"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// The log has 10 events a user on average, and one long stream. Both the rebuild and the bare loop read it in as many parts, and
// write as many rows of each at once.
const (
	eventsPerUser = 10
	longestShare  = 100 // the longest stream has one event of so many
	logParts      = 8
	writesOfPart  = 16
	hotUsers      = 500
)

// TestRebuildOfALargeLog fills the users' next generation from a log of LEFTFOLD_REBUILD events, drawn by LEFTFOLD_SEED, once alone
// and once beside commands and reads, and compares the rate with that of a bare loop, which scans the same log and puts as many rows,
// each on condition that there is none. make bench-rebuild runs it.
func TestRebuildOfALargeLog(t *testing.T) {
	events, err := strconv.Atoi(os.Getenv("LEFTFOLD_REBUILD"))
	if err != nil {
		t.Skip("LEFTFOLD_REBUILD is not set to a number of events: a million takes minutes and some GB of memory")
	}
	seed, err := strconv.ParseUint(os.Getenv("LEFTFOLD_SEED"), 10, 64)
	require.NoError(t, err, "LEFTFOLD_SEED")
	dir := programs(t)
	fleet := systemtest.NewFleet(t, dir, map[string]string{
		"ENVIRONMENT": "local", "AUTH_MODE": "none", "RATE_LIMIT": "0", "STOP_TIMEOUT": "5m",
	})
	users := drawLog(t, fleet, events, rand.New(rand.NewPCG(seed, 0)))
	t.Logf("%d events of %d users", events, len(users))
	r := report{}
	r.table("", "bare events/s", "rebuild events/s", "ratio", "compared streams/s", "peak MB of the rebuild")
	measure := func(how string) {
		bare := bareLoop(t, fleet)
		rebuilt, peak := rebuildUsers(t, fleet, dir)
		loop, fill := float64(events)/bare.Seconds(), float64(rebuilt.Events)/rebuilt.FillSeconds
		t.Logf("%s: bare loop %v, %+v, %d MB", how, bare.Round(time.Millisecond), rebuilt, peak>>20)
		r.row(how, number(loop), number(fill), fmt.Sprintf("%.2f", fill/loop), number(float64(rebuilt.Streams)/rebuilt.CompareSeconds),
			number(float64(peak)/(1<<20)))
	}
	measure("alone")

	fleet.Add(1, processes.ServiceNames()...)
	fleet.Add(1, "projector-user")
	random := rand.New(rand.NewPCG(seed, 1))
	hot := make([]string, hotUsers)
	for i := range hot {
		hot[i] = pick(random, users)
	}
	watch := &readers{client: fleet.Client, users: hot, between: func() { time.Sleep(10 * time.Millisecond) }}
	stop := make(chan struct{})
	var load sync.WaitGroup
	var accepted int
	var failed error
	load.Go(func() { accepted, failed = rename(t.Context(), fleet.Client, hot, stop) })
	load.Go(func() { watch.run(t.Context(), 4, stop) })
	func() {
		defer load.Wait()
		defer close(stop)
		measure("beside commands and reads")
	}()
	watch.assertNothingSeen(t)
	require.NoError(t, failed)
	_, err = fmt.Fprintf(t.Output(), "\n%s\n%d commands and %d reads beside it; %d reads failed, %d went back\n", r.tables[0], accepted,
		watch.reads, watch.failed, watch.back)
	require.NoError(t, err)
}

// drawLog fills the log of a new AWS, and returns its users. Meanwhile the table has no stream, so what is read of it later begins
// after that.
func drawLog(t *testing.T, fleet *systemtest.Fleet, events int, random *rand.Rand) (users []string) {
	t.Helper()
	require.NoError(t, provision.Run(t.Context(), fleet.Config, provision.Config{Names: fleet.Names}))
	stream := func(s *types.StreamSpecification) {
		t.Helper()
		_, err := fleet.DB.UpdateTable(t.Context(), &dynamodb.UpdateTableInput{TableName: &fleet.Names.EventLog, StreamSpecification: s})
		require.NoError(t, err)
	}
	stream(&types.StreamSpecification{StreamEnabled: aws.Bool(false)})
	w := newWriter(fleet.Inspector)
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(8)
	for left := events; left > 0; {
		length := min(1+random.IntN(2*eventsPerUser-1), left)
		if len(users) == 0 {
			length = max(events/longestShare, 1)
		}
		left -= length
		id := uuid.Must(uuid.NewRandomFromReader(randomBytes{random})).String()
		users = append(users, id)
		group.Go(func() error {
			const most = 90 // in a transaction
			for at := 0; at < length; at += most {
				if err := w.Append(ctx, id, eventsourcing.Version(at), min(most, length-at)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())
	stream(dynamostore.Tables{Events: fleet.Names.EventLog}.CreateTableInputs()[0].StreamSpecification)
	return users
}

// randomBytes are bytes of a source of random numbers.
type randomBytes struct{ *rand.Rand }

func (r randomBytes) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return len(p), nil
}

// bareLoop scans the log and puts a row for each stream, without a fold.
func bareLoop(t *testing.T, fleet *systemtest.Fleet) time.Duration {
	t.Helper()
	const name = "bare"
	_, err := fleet.DB.CreateTable(t.Context(), projection.CreateTableInput(name))
	require.NoError(t, err)
	began := time.Now()
	parts, ctx := errgroup.WithContext(t.Context())
	for part := range logParts {
		parts.Go(func() error { return barePart(ctx, fleet, name, part) })
	}
	require.NoError(t, parts.Wait())
	took := time.Since(began)
	_, err = fleet.DB.DeleteTable(t.Context(), &dynamodb.DeleteTableInput{TableName: aws.String(name)})
	require.NoError(t, err)
	return took
}

func barePart(ctx context.Context, fleet *systemtest.Fleet, table string, part int) error {
	pages := dynamodb.NewScanPaginator(fleet.DB, &dynamodb.ScanInput{
		TableName: &fleet.Names.EventLog, ConsistentRead: aws.Bool(true),
		Segment: aws.Int32(int32(part)), TotalSegments: aws.Int32(logParts),
	})
	var puts errgroup.Group
	puts.SetLimit(writesOfPart)
	for last := ""; pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return errors.Join(err, puts.Wait())
		}
		for _, item := range page.Items {
			stream, _ := item["stream"].(*types.AttributeValueMemberS)
			if stream.Value == last {
				continue
			}
			last = stream.Value
			puts.Go(func() error {
				text := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
				id := strings.TrimPrefix(stream.Value, "org/iam/user/")
				_, err := fleet.DB.PutItem(ctx, &dynamodb.PutItemInput{
					TableName: &table, ConditionExpression: aws.String("attribute_not_exists(id)"),
					Item: projection.Item{
						"id": text(id), "row": text("user"), "listed": text(id), "stream": stream, "version": item["version"], "event_id": item["id"],
						"correlation_id": text(id), "causation_id": text(id), "updated_at": item["recorded_at"],
						"email": text(id + "@example.com"), "first_name": text("Ann"), "last_name": text("abcdefghijklmnopqrstuvwx"),
						"disabled": &types.AttributeValueMemberBOOL{}, "roles": &types.AttributeValueMemberL{Value: []types.AttributeValue{}},
					},
				})
				return err
			})
		}
	}
	return puts.Wait()
}

// rebuilt is what leftfold prints about a rebuild.
type rebuilt struct {
	Events         int64   `json:"events"`
	FillSeconds    float64 `json:"fillSeconds"`
	Streams        int64   `json:"streams"`
	CompareSeconds float64 `json:"compareSeconds"`
}

// rebuildUsers rebuilds the users by the program, lets reads move to the new rows and retires the old ones. It returns how long that
// took, and the most memory that the program had.
func rebuildUsers(t *testing.T, fleet *systemtest.Fleet, dir string) (r rebuilt, peak int64) {
	t.Helper()
	done := fleet.Leftfold(dir, "projections", "rebuild", "users", "--switch", "--output", "json", "--segments", strconv.Itoa(logParts)).Wait()
	require.Zero(t, done.Code, "%s%s", done.Out, done.Errors)
	for line := range strings.Lines(done.Out) {
		if strings.Contains(line, "fillSeconds") {
			require.NoError(t, json.Unmarshal([]byte(line), &r))
		}
	}
	require.Positive(t, r.CompareSeconds)
	retired := fleet.Leftfold(dir, "projections", "retire", "users").Wait()
	require.Zero(t, retired.Code, "%s%s", retired.Out, retired.Errors)
	return r, done.PeakMemory
}

// rename gives users other names, 50 a second at most, and waits for what it wrote now and then. It returns how many it has renamed.
func rename(ctx context.Context, client systemtest.Client, users []string, stop <-chan struct{}) (accepted int, err error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	send := func(status int, r systemtest.Request) (systemtest.Answer, error) {
		answer, err := client.Do(ctx, r)
		if err == nil && answer.Status != status {
			err = fmt.Errorf("%s %s: %d %s", r.Method, r.Path, answer.Status, answer.Body)
		}
		return answer, err
	}
	for {
		select {
		case <-stop:
			return accepted, nil
		case <-tick.C:
		}
		user := "/users/" + users[accepted%len(users)]
		answer, err := send(http.StatusAccepted, put(user, object{"firstName": letters(newID()), "lastName": "Lee"}))
		if err != nil {
			return accepted, err
		}
		if accepted++; accepted%10 != 0 {
			continue
		}
		receipt, err := systemtest.Decode[systemtest.Receipt](answer)
		if err != nil {
			return accepted, err
		}
		shown := fmt.Sprintf("%s?min_version=%d&wait=10s", user, receipt.Version)
		if _, err := send(http.StatusOK, systemtest.Request{Method: http.MethodGet, Path: shown}); err != nil {
			return accepted, err
		}
	}
}
