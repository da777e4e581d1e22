// Package localaws is an embedded AWS for development and tests: DynamoDB with its streams, Kinesis and SQS in one Go
// process. It speaks AWS's own wire protocols, so the official SDKs and the aws command line work with it unchanged.
//
// Supported operations behave as AWS documents them, errors and limits included. Everything else is refused by name with
// the error NotSupportedByLocalaws; it never succeeds without effect.
//
// Calls can also be made to fail, reproducibly from a seed: see Faults.
//
// README.md lists the supported operations, the known differences from AWS and the limits.
package localaws

import (
	"cmp"
	"context"
	"crypto/rand"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
	"github.com/leftfold/leftfold/pkg/localaws/internal/journal"
	"github.com/leftfold/leftfold/pkg/localaws/internal/units"
)

// maxBody limits a request: AWS's largest is a BatchWriteItem of 16 MB, which base64 and JSON make longer.
const maxBody = 32 << 20

// Options configure a Server.
type Options struct {
	// Region is the region of Config and of requests that are not signed. Defaults to "us-east-1".
	Region string
	// AccountID is part of every ARN and queue URL. Defaults to "000000000000".
	AccountID string
	// Now is the clock for timestamps, expiry and deduplication. Timers use the real clock. Defaults to time.Now.
	Now func() time.Time
	// Seed is used by Faults that have no seed of their own. Defaults to 0.
	Seed uint64
	// ReadLimits refuses what a shard of Kinesis refuses on AWS: a sixth GetRecords within a second, and reads beyond 2 MB a
	// second. Defaults to no limits.
	ReadLimits bool
	// HoldReads is how long GetRecords of Kinesis and of a table's stream waits for a record if there is none: programs that poll
	// then cost nothing while nothing happens, and see a record at once. AWS does not wait. Defaults to no wait.
	HoldReads time.Duration
}

// Server is one embedded AWS: one account in all regions. It is an http.Handler; Config connects to it without a socket.
type Server struct {
	options Options
	journal *journal.Journal // nil if everything is in memory
	store   Store            // nil as well
	regions regions
	admin   *http.ServeMux
	used    used
	faults  atomic.Pointer[activeFaults] // nil if there are none
}

// New returns a server without tables, streams and queues, which keeps everything in memory. Call Close to end its long polls and
// subscriptions.
func New(o Options) *Server { return newServer(o, nil, nil) }

func newServer(o Options, s Store, j *journal.Journal) *Server {
	o.Region = cmp.Or(o.Region, "us-east-1")
	o.AccountID = cmp.Or(o.AccountID, "000000000000")
	if o.Now == nil {
		o.Now = time.Now //nolint:forbidigo // the only use of the real clock
	}
	server := &Server{options: o, journal: j, store: s, regions: regions{byName: map[string]*region{}}}
	server.admin = server.adminRoutes()
	return server
}

// Close ends every long poll with an empty response, and every subscription. Later calls are still served.
func (s *Server) Close() { s.regions.close() }

// ServeHTTP serves an AWS request or one of the server's own routes:
//
//	GET    /_localaws/calls   returns Calls
//	GET    /_localaws/usage   returns Usage
//	GET    /_localaws/faults  returns FaultReport
//	PUT    /_localaws/faults  calls SetFaults with the body, which is Faults in JSON
//	DELETE /_localaws/faults  removes all faults
//	POST   /_localaws/rotate  calls RotateShards; the body is {"table": "…"}
//	POST   /_localaws/trim    calls TrimTable or TrimStream; the body is {"table": "…"} or {"stream": "…"}, optionally with
//	                          "before", a time in RFC 3339
//	GET    /_localaws/snapshot  returns what Snapshot writes
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Amzn-Requestid", rand.Text())
	if strings.HasPrefix(r.URL.Path, adminPath) {
		if _, pattern := s.admin.Handler(r); pattern != "" {
			s.admin.ServeHTTP(w, r)
			return
		}
	}
	if r.URL.Path == "/" && (r.Method == http.MethodGet || r.Method == http.MethodHead) && !isQuery(r) {
		s.healthy(w)
		return
	}
	body, ok := readBody(w, r)
	if !ok {
		return
	}
	request, err := s.request(r, body, w.Header().Get("X-Amzn-Requestid"))
	if err != nil {
		request.Refuse(w, err)
		return
	}
	var op string
	key, _ := credential(r)
	ctx := awsjson.WithEndpoint(r.Context(), endpoint(r))
	if _, known := request.Service.Operations[request.Operation]; known { // unknown names must not add counters
		op = name(request.Service.Target) + "." + request.Operation
		spent, answer := new(units.Spent), &counted{ResponseWriter: w}
		ctx, w = units.With(ctx, spent), answer
		use := s.used.begin(key, op)
		defer func() { s.used.end(use, spent, len(body), answer.bytes) }()
	}
	c := call{request, s.journal}
	if set := s.faults.Load(); set != nil {
		if f := set.plan.Call(op, key); f != nil {
			c.doWithFaults(ctx, f, w)
			return
		}
	}
	c.do(ctx, w)
}

// healthy answers a GET as DynamoDB does, the space at the end included, which health checks compare:
// https://github.com/architect/dynalite/blob/main/test/connection.js
func (s *Server) healthy(w http.ResponseWriter) {
	body := "healthy: dynamodb." + s.options.Region + ".amazonaws.com "
	w.Header().Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE([]byte(body))), 10))
	_, _ = io.WriteString(w, body) // the client may have disconnected
}

func endpoint(r *http.Request) string {
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	return scheme + cmp.Or(r.Host, r.URL.Host)
}

// name returns the service's name in a target prefix: "DynamoDB" of "DynamoDB_20120810".
func name(target string) string {
	n, _, _ := strings.Cut(target, "_")
	return n
}

// Config returns an SDK configuration that calls the server within the process, without a socket.
func (s *Server) Config() aws.Config {
	return aws.Config{
		Region:       s.options.Region,
		BaseEndpoint: aws.String("http://localaws.invalid"),
		HTTPClient:   &http.Client{Transport: s.Transport()},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "local", SecretAccessKey: "local", Source: "localaws"}, nil
		}),
	}
}
