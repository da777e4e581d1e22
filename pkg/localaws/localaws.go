// Package localaws is what Leftfold needs of AWS, in memory and in one process: DynamoDB with its streams, Kinesis and
// SQS, spoken over AWS's own wire protocols so that the official SDKs and the aws command line work against it
// unchanged. It is for development and tests; production is AWS.
//
// What it supports it does as AWS documents it, errors and limits included; anything else is answered "not supported"
// by name, never with a wrong success.
package localaws

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
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
}

// Server is the in-memory AWS. It is an http.Handler; Config reaches it without a socket.
type Server struct {
	region   string
	services map[string]*awsjson.Service // by target prefix
	calls    sync.Map                    // "DynamoDB.PutItem" → *atomic.Int64
	rotate   func(table string) error
	close    func()
}

// New returns an empty server. Close it to end its long polls.
func New(o Options) *Server {
	o.Region = cmp.Or(o.Region, "us-east-1")
	o.AccountID = cmp.Or(o.AccountID, "000000000000")
	if o.Now == nil {
		o.Now = time.Now //nolint:forbidigo // the one place where the clock comes in
	}
	db := dynamodb.New(dynamodb.Options{Region: o.Region, AccountID: o.AccountID, Now: o.Now})
	ks := kinesis.New(kinesis.Options{Region: o.Region, AccountID: o.AccountID, Now: o.Now})
	qs := sqs.New(sqs.Options{Region: o.Region, AccountID: o.AccountID, Now: o.Now})
	s := &Server{region: o.Region, services: map[string]*awsjson.Service{}, rotate: db.RotateShards, close: qs.Close}
	for _, svc := range []*awsjson.Service{db.Service(), db.Streams(), ks.Service(), qs.Service()} {
		s.services[svc.Target] = svc
	}
	return s
}

// Close ends every waiting long poll with an empty answer. Later calls are still answered.
func (s *Server) Close() { s.close() }

// RotateShards closes every open shard of a table's stream and opens a child of each, as AWS does about every four hours:
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html
func (s *Server) RotateShards(table string) error { return s.rotate(table) }

// ServeHTTP answers one AWS request, or one of localaws's own: GET /_localaws/calls.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Amzn-Requestid", rand.Text())
	if r.URL.Path == "/_localaws/calls" && r.Method == http.MethodGet {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s.Calls()) // the client may have gone
		return
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
	if _, known := svc.Operations[operation]; known { // a stranger cannot grow the counters
		s.count(name(target) + "." + operation)
	}
	if !utf8.Valid(body) { // encoding/json would change it without a word
		svc.Refuse(w, awsjson.Errorf("SerializationException", "the request is not valid UTF-8"))
		return
	}
	svc.Do(r.Context(), operation, body, w)
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
