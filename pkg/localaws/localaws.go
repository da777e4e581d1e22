// Package localaws is what Leftfold needs of AWS, in memory and in one process: DynamoDB with its streams, Kinesis and
// SQS, spoken over AWS's own wire protocols so that the official SDKs and the aws command line work against it
// unchanged. It is for development and tests; production is AWS.
//
// What it supports it does as AWS documents it, errors and limits included; anything else is answered "not supported"
// by name, never with a wrong success.
//
// It goes wrong on demand as well, by a seed and again in the same way: see Faults.
package localaws

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb"
	"github.com/leftfold/leftfold/pkg/localaws/internal/kinesis"
	"github.com/leftfold/leftfold/pkg/localaws/internal/sqs"
)

// maxBody bounds a request: the largest that AWS takes is a BatchWriteItem of 16 MB; base64 and JSON swell it.
const maxBody = 32 << 20

// Options configure a Server.
type Options struct {
	// Region stands in every ARN. Defaults to "us-east-1".
	Region string
	// AccountID stands in every ARN and queue URL. Defaults to "000000000000".
	AccountID string
	// Now is the clock that stamps, expires and deduplicates. Defaults to time.Now.
	Now func() time.Time
	// Seed decides the chances of faults that bring no seed of their own. Defaults to 0.
	Seed uint64
}

// Server is the in-memory AWS. It is an http.Handler; Config reaches it without a socket.
type Server struct {
	region   string
	seed     uint64
	now      func() time.Time
	dynamodb *dynamodb.DB
	kinesis  *kinesis.Kinesis
	services map[string]*awsjson.Service // by target prefix
	own      *http.ServeMux
	calls    sync.Map                      // "DynamoDB.PutItem" → *atomic.Int64
	faults   atomic.Pointer[faultsInForce] // nil if there are none
	close    func()
}

// New returns an empty server. Close it to end its long polls and subscriptions.
func New(o Options) *Server {
	o.Region = cmp.Or(o.Region, "us-east-1")
	o.AccountID = cmp.Or(o.AccountID, "000000000000")
	if o.Now == nil {
		o.Now = time.Now //nolint:forbidigo // the one place where the clock comes in
	}
	db := dynamodb.New(dynamodb.Options{Region: o.Region, AccountID: o.AccountID, Now: o.Now})
	ks := kinesis.New(kinesis.Options{Region: o.Region, AccountID: o.AccountID, Now: o.Now})
	qs := sqs.New(sqs.Options{Region: o.Region, AccountID: o.AccountID, Now: o.Now})
	s := &Server{
		region: o.Region, seed: o.Seed, now: o.Now, dynamodb: db, kinesis: ks, services: map[string]*awsjson.Service{},
		close: func() { qs.Close(); ks.Close() },
	}
	s.own = s.ownRoutes()
	for _, svc := range []*awsjson.Service{db.Service(), db.Streams(), ks.Service(), qs.Service()} {
		s.services[svc.Target] = svc
	}
	return s
}

// Close ends every waiting long poll with an empty answer, and every subscription. Later calls are still answered.
func (s *Server) Close() { s.close() }

// ServeHTTP answers one AWS request, or one of localaws's own:
//
//	GET    /_localaws/calls   how often each operation was called
//	GET    /_localaws/faults  a FaultReport
//	PUT    /_localaws/faults  takes Faults, as SetFaults does
//	DELETE /_localaws/faults  clears them
//	POST   /_localaws/rotate  takes {"table": …}, as RotateShards does
//	POST   /_localaws/trim    takes {"table": …} or {"stream": …} and "before", a time or nothing, as TrimTable and TrimStream do
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Amzn-Requestid", rand.Text())
	if strings.HasPrefix(r.URL.Path, ownPath) {
		if _, pattern := s.own.Handler(r); pattern != "" {
			s.own.ServeHTTP(w, r)
			return
		}
	}
	target, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	svc := s.services[target]
	if svc == nil || r.Method != http.MethodPost {
		unknown := &awsjson.Service{ContentType: "application/x-amz-json-1.0"}
		what := r.Method + " " + r.URL.Path
		if svc == nil && target != "" {
			what = "service " + target
		}
		unknown.Refuse(w, awsjson.NotSupported(what))
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			http.Error(w, "request body too large", http.StatusRequestEntityTooLarge)
			return
		}
		http.Error(w, "cannot read the request", http.StatusBadRequest)
		return
	}
	var op string
	if _, known := svc.Operations[operation]; known { // a stranger cannot grow the counters
		op = name(target) + "." + operation
		s.count(op)
	}
	if !utf8.Valid(body) { // encoding/json would change it without a word
		svc.Refuse(w, awsjson.Errorf("SerializationException", "the request is not valid UTF-8"))
		return
	}
	c := call{svc, operation, body}
	if set := s.faults.Load(); set != nil {
		if f := set.plan.Call(op); f != nil {
			c.struck(r.Context(), f, w)
			return
		}
	}
	c.do(r.Context(), w)
}

// name shortens a target prefix: "DynamoDB_20120810" is counted as "DynamoDB".
func name(target string) string {
	n, _, _ := strings.Cut(target, "_")
	return n
}

func (s *Server) count(op string) {
	n, ok := s.calls.Load(op)
	if !ok {
		n, _ = s.calls.LoadOrStore(op, new(atomic.Int64))
	}
	n.(*atomic.Int64).Add(1) //nolint:errcheck,forcetypeassert // nothing else is stored
}

// Calls returns how often each operation was called, by names such as "DynamoDB.PutItem".
func (s *Server) Calls() map[string]int64 {
	out := map[string]int64{}
	s.calls.Range(func(k, v any) bool {
		out[k.(string)] = v.(*atomic.Int64).Load() //nolint:errcheck,forcetypeassert // nothing else is stored
		return true
	})
	return out
}

// Config reaches the server from within the process: no socket, any credentials.
func (s *Server) Config() aws.Config {
	return aws.Config{
		Region:       s.region,
		BaseEndpoint: aws.String("http://localaws.invalid"),
		HTTPClient:   &http.Client{Transport: s.Transport()},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "local", SecretAccessKey: "local", Source: "localaws"}, nil
		}),
	}
}
