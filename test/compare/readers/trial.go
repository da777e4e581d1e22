package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/localaws"
)

const (
	streamName   = "records"
	streamShards = 4
	streamKeys   = 16 // four in each shard
	writeEvery   = 100 * time.Millisecond
	workerKey    = "WORKER" // access key of the workers
)

// seen is what one trial has measured.
type seen struct {
	// LeaseCalls, ReadUnits, WriteUnits and StreamCalls are those of two workers in a minute, while nothing changes.
	LeaseCalls  float64 `json:"leaseCalls"`
	ReadUnits   float64 `json:"readUnits"`
	WriteUnits  float64 `json:"writeUnits"`
	StreamCalls float64 `json:"streamCalls"`
	// Start, Second and Third are seconds from the start of each worker until it reads; TakeOver, Split and HandOff until all keys are
	// read on after a kill, a split and a stop. What is not seen within the patience has that.
	Start    float64 `json:"start"`
	Second   float64 `json:"second"`
	Third    float64 `json:"third"`
	TakeOver float64 `json:"takeOver"`
	// TakeOverFromFirst is the same for the first worker, which leads those of the Kinesis Client Library.
	TakeOverFromFirst float64 `json:"takeOverFromFirst"`
	Split             float64 `json:"split"`
	HandOff           float64 `json:"handOff"`
	// RepeatedByKill and RepeatedByStop are records that came again after them.
	RepeatedByKill int `json:"repeatedByKill"`
	RepeatedByStop int `json:"repeatedByStop"`
	Written        int `json:"written"`
	Lost           int `json:"lost"`
	counts
}

// trial is one run of a contender: an AWS, a ledger, a writer and workers.
type trial struct {
	contender contender
	steady    time.Duration // for which calls are counted
	patience  time.Duration // for each change
	log       io.Writer

	aws     *localaws.Server
	client  *kinesis.Client
	ledger  *ledger
	awsURL  string
	sinkURL string
	written atomic.Int64 // rounds of the writer, each a record of every key
	workers map[string]*worker
}

// run runs the trial. What took longer than its patience has the value of that.
func (t *trial) run(ctx context.Context) (_ seen, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	t.ledger, t.workers = newLedger(), map[string]*worker{}
	t.aws = localaws.New(localaws.Options{})
	defer t.aws.Close()
	if t.awsURL, err = serve(ctx, t.aws); err != nil {
		return seen{}, err
	}
	if t.sinkURL, err = serve(ctx, t.ledger); err != nil {
		return seen{}, err
	}
	defer func() {
		for _, w := range t.workers {
			w.kill()
		}
	}()
	t.client = kinesis.NewFromConfig(t.aws.Config())
	if err := t.prepare(ctx); err != nil {
		return seen{}, err
	}
	writing, stopWriting := context.WithCancel(ctx)
	defer stopWriting()
	wrote := make(chan error, 1)
	go func() { wrote <- t.write(writing) }()

	s, err := t.changes(ctx)
	if err != nil {
		return seen{}, err
	}
	stopWriting()
	if err := <-wrote; err != nil {
		return seen{}, err
	}
	s.Written = int(t.written.Load()) * streamKeys
	all := upTo(int(t.written.Load()), func(progress) bool { return true })
	if _, err := t.until(ctx, "all is read", all); err != nil {
		return seen{}, err
	}
	s.counts, _, _ = t.ledger.snapshot()
	s.Lost = s.Written - s.Read
	return s, nil
}

// changes starts, kills and stops workers and splits a shard, one after the other, while records are written.
func (t *trial) changes(ctx context.Context) (s seen, err error) {
	if s.Start, err = t.join(ctx, "worker-1"); err != nil {
		return s, err
	}
	if s.Second, err = t.join(ctx, "worker-2"); err != nil {
		return s, err
	}
	if err := t.count(ctx, &s); err != nil {
		return s, err
	}

	if s.Third, err = t.join(ctx, "worker-3"); err != nil {
		return s, err
	}

	if s.TakeOver, s.RepeatedByKill, err = t.kill(ctx, "worker-2"); err != nil {
		return s, err
	}
	if err := t.split(ctx); err != nil {
		return s, err
	}
	if s.Split, err = t.until(ctx, "a shard was split, all keys are read on", t.readOn(notBy("worker-2"))); err != nil {
		return s, err
	}
	if s.HandOff, s.RepeatedByStop, err = t.stop(ctx, "worker-3"); err != nil {
		return s, err
	}
	if _, err := t.join(ctx, "worker-4"); err != nil {
		return s, err
	}
	s.TakeOverFromFirst, _, err = t.kill(ctx, "worker-1")
	return s, err
}

// nothing is the time until others have what a worker has read that has read nothing.
const nothing = -1

// kill kills a worker, and returns the seconds until others read on and how many records they have read again.
func (t *trial) kill(ctx context.Context, name string) (seconds float64, repeated int, err error) {
	before, keys, _ := t.ledger.snapshot()
	t.workers[name].kill()
	seconds, err = t.until(ctx, name+" was killed, others read on", t.readOn(notBy(name)))
	after, _, _ := t.ledger.snapshot()
	if t.readers(keys)[name] == 0 {
		seconds = nothing
	}
	return seconds, after.Repeated - before.Repeated, err
}

// stop asks a worker to end, and returns the same.
func (t *trial) stop(ctx context.Context, name string) (seconds float64, repeated int, err error) {
	before, keys, _ := t.ledger.snapshot()
	stopped := t.workers[name].stop()
	seconds, err = t.until(ctx, name+" was stopped, others read on", t.readOn(notBy(name)))
	after, _, _ := t.ledger.snapshot()
	if t.readers(keys)[name] == 0 {
		seconds = nothing
	}
	if err == nil {
		err = <-stopped
	}
	return seconds, after.Repeated - before.Repeated, err
}

// join starts a worker, and returns the seconds until it reads.
func (t *trial) join(ctx context.Context, name string) (float64, error) {
	if err := t.start(ctx, name); err != nil {
		return 0, err
	}
	return t.until(ctx, name+" was started and reads", func(keys map[string]progress) bool { return t.readers(keys)[name] > 0 })
}

// prepare makes the stream, and the table that package shards wants; the Kinesis Client Library makes its own.
func (t *trial) prepare(ctx context.Context) error {
	_, err := t.client.CreateStream(ctx, &kinesis.CreateStreamInput{
		StreamName: aws.String(streamName), ShardCount: aws.Int32(streamShards),
	})
	if err != nil {
		return err
	}
	if err := kinesis.NewStreamExistsWaiter(t.client).Wait(ctx, t.described(), t.patience); err != nil {
		return err
	}
	_, err = dynamodb.NewFromConfig(t.aws.Config()).CreateTable(ctx, shards.CreateTableInput(leaseTable))
	return err
}

func (t *trial) described() *kinesis.DescribeStreamInput {
	return &kinesis.DescribeStreamInput{StreamName: aws.String(streamName)}
}

// hashOf is a key's place in the range of hashes: all keys are as far from each other.
func hashOf(key int) string {
	width := new(big.Int).Lsh(big.NewInt(1), 128)
	return width.Mul(width, big.NewInt(int64(2*key+1))).Div(width, big.NewInt(2*streamKeys)).String()
}

// write writes a record of each key in each round.
func (t *trial) write(ctx context.Context) error {
	ticker := time.NewTicker(writeEvery)
	defer ticker.Stop()
	for n := 0; ; n++ {
		var batch []types.PutRecordsRequestEntry
		for key := range streamKeys {
			batch = append(batch, types.PutRecordsRequestEntry{
				PartitionKey: aws.String("key-" + strconv.Itoa(key)), ExplicitHashKey: aws.String(hashOf(key)), Data: []byte(strconv.Itoa(n)),
			})
		}
		out, err := t.client.PutRecords(context.WithoutCancel(ctx), &kinesis.PutRecordsInput{
			StreamName: aws.String(streamName), Records: batch,
		})
		if err == nil && aws.ToInt32(out.FailedRecordCount) > 0 {
			err = errors.New("records were refused")
		}
		if err != nil {
			return fmt.Errorf("put records: %w", err)
		}
		t.written.Add(1)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// split splits the shard of the first keys in the middle.
func (t *trial) split(ctx context.Context) error {
	_, err := t.client.SplitShard(ctx, &kinesis.SplitShardInput{
		StreamName: aws.String(streamName), ShardToSplit: aws.String("shardId-000000000000"),
		NewStartingHashKey: aws.String(new(big.Int).Lsh(big.NewInt(1), 125).String()),
	})
	return err
}

// count measures what the workers call while nothing changes.
func (t *trial) count(ctx context.Context, s *seen) error {
	begun, before := time.Now(), t.aws.Usage()
	if _, err := sleep(ctx, t.steady); err != nil {
		return err
	}
	minutes := time.Since(begun).Minutes()
	add := func(usage []localaws.Usage, sign float64) {
		for _, u := range usage {
			switch service, _, _ := strings.Cut(u.Operation, "."); {
			case u.AccessKey != workerKey:
			case service == "DynamoDB":
				s.LeaseCalls += sign * float64(u.Calls)
				s.ReadUnits += sign * u.ReadUnits
				s.WriteUnits += sign * u.WriteUnits
			default:
				s.StreamCalls += sign * float64(u.Calls)
			}
		}
	}
	add(t.aws.Usage(), 1)
	add(before, -1)
	for _, each := range []*float64{&s.LeaseCalls, &s.ReadUnits, &s.WriteUnits, &s.StreamCalls} {
		*each /= minutes
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) (time.Time, error) {
	select {
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	case now := <-time.After(d):
		return now, nil
	}
}

// readers counts the keys that each worker has read last.
func (t *trial) readers(keys map[string]progress) map[string]int {
	by := map[string]int{}
	for _, of := range keys {
		by[of.worker]++
	}
	return by
}

func notBy(worker string) func(progress) bool {
	return func(of progress) bool { return of.worker != worker }
}

// readOn tells when what is written after now is read of every key, by such a worker.
func (t *trial) readOn(such func(progress) bool) func(map[string]progress) bool {
	return upTo(int(t.written.Load())+2, such) // a round may be written at this moment
}

// upTo tells when that many records of every key were read, the last by such a worker.
func upTo(target int, such func(progress) bool) func(map[string]progress) bool {
	return func(keys map[string]progress) bool {
		for _, of := range keys {
			if of.next < target || !such(of) {
				return false
			}
		}
		return len(keys) == streamKeys
	}
}

// until waits until the ledger is in that state, and returns the seconds. It waits no longer than its patience.
func (t *trial) until(ctx context.Context, what string, state func(map[string]progress) bool) (float64, error) {
	begun, late := time.Now(), time.After(t.patience)
	for {
		_, keys, changed := t.ledger.snapshot()
		if state(keys) {
			seconds := time.Since(begun).Seconds()
			_, _ = fmt.Fprintf(t.log, "%s: %s: %.1f s, keys by worker: %v\n", t.contender, what, seconds, t.readers(keys))
			return seconds, nil
		}
		select {
		case <-changed:
		case <-late:
			_, _ = fmt.Fprintf(t.log, "%s: %s: not in %v, keys by worker: %v\n", t.contender, what, t.patience, t.readers(keys))
			return t.patience.Seconds(), nil
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// worker is a running process.
type worker struct {
	cmd   *exec.Cmd
	stdin io.Closer
	ended chan error
}

func (t *trial) start(ctx context.Context, name string) error {
	argv := t.contender.command(job{sink: t.sinkURL + "/" + name, stream: streamName, failover: t.contender.Failover}, name)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "AWS_ENDPOINT_URL="+t.awsURL, "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID="+workerKey,
		"AWS_SECRET_ACCESS_KEY=local", "AWS_EC2_METADATA_DISABLED=true")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	log, err := os.CreateTemp("", "reader-"+name+"-*.log")
	if err != nil {
		return err
	}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		return err
	}
	w := &worker{cmd: cmd, stdin: stdin, ended: make(chan error, 1)}
	t.workers[name] = w
	go func() {
		err := cmd.Wait()
		if err == nil {
			err = os.Remove(log.Name())
		} else {
			err = fmt.Errorf("%s: %w, see %s", filepath.Base(argv[0]), err, log.Name())
		}
		w.ended <- errors.Join(err, log.Close())
	}()
	return nil
}

// kill ends the process at once.
func (w *worker) kill() { _ = w.cmd.Process.Kill() } // it may have ended

// stop asks the process to end.
func (w *worker) stop() <-chan error {
	_ = w.stdin.Close()
	return w.ended
}

func serve(ctx context.Context, handler http.Handler) (url string, err error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: handler, Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true) // which the Kinesis Client Library speaks
	go func() { _ = server.Serve(listener) }()
	context.AfterFunc(ctx, func() { _ = server.Close() })
	return "http://" + listener.Addr().String(), nil
}
