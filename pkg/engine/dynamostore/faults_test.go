package dynamostore_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/leftfold/leftfold/pkg/localaws"
)

// fault stands between the client and the server for one call; pass makes the call.
type fault func(ctx context.Context, pass call) (*http.Response, error)

type call func(context.Context) (*http.Response, error)

// hangs answers when its context has ended.
func hangs(ctx context.Context, _ call) (*http.Response, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// lost performs the call and loses the answer.
func lost(ctx context.Context, pass call) (*http.Response, error) {
	resp, err := pass(ctx)
	if err == nil {
		_ = resp.Body.Close()
	}
	return nil, errors.Join(errors.New("connection lost"), err)
}

// torn performs the call and breaks off in the middle of the answer.
func torn(ctx context.Context, pass call) (*http.Response, error) {
	resp, err := pass(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	resp.ContentLength = -1
	resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body[:len(body)/2]), broken{}))
	return resp, err
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// answers gives DynamoDB's error answer without making the call.
func answers(status int, code string, reasons ...string) fault {
	return func(context.Context, call) (*http.Response, error) {
		body := map[string]any{"__type": "com.amazonaws.dynamodb.v20120810#" + code, "message": code + " as planned"}
		if reasons != nil {
			list := []json.RawMessage{}
			for _, r := range reasons {
				if !strings.HasPrefix(r, "{") {
					r = fmt.Sprintf(`{"Code":%q,"Message":"because"}`, r)
				}
				list = append(list, json.RawMessage(r))
			}
			body["CancellationReasons"] = list
		}
		b, err := json.Marshal(body)
		return &http.Response{
			StatusCode: status, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
			Body: io.NopCloser(bytes.NewReader(b)), ContentLength: int64(len(b)),
		}, err
	}
}

func cancelled(reasons ...string) fault {
	return answers(http.StatusBadRequest, "TransactionCanceledException", reasons...)
}

func times(n int, f fault) []fault {
	var fs []fault
	for range n {
		fs = append(fs, f)
	}
	return fs
}

// faulty is a client whose first calls of an operation meet the faults planned for it.
type faulty struct {
	*dynamodb.Client
	Server *localaws.Server

	mu     sync.Mutex
	faults map[string][]fault
	calls  map[string]int
	tokens []string // of transactions
	stale  []string // operations that might read eventually
}

func newFaulty(t *testing.T) *faulty {
	t.Helper()
	server, _ := newServer(t)
	f := &faulty{Server: server, faults: map[string][]fault{}, calls: map[string]int{}}
	cfg := server.Config()
	cfg.HTTPClient = &http.Client{Transport: f}
	cfg.Retryer = func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = time.Microsecond })
	}
	f.Client = dynamodb.NewFromConfig(cfg)
	return f
}

func (f *faulty) plan(operation string, faults ...fault) { f.faults[operation] = faults }

func (f *faulty) RoundTrip(r *http.Request) (*http.Response, error) {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var sent struct {
		ClientRequestToken string
		ConsistentRead     bool
	}
	if err := json.Unmarshal(body, &sent); err != nil {
		return nil, err
	}
	pass := func(ctx context.Context) (*http.Response, error) {
		again := r.Clone(ctx)
		again.Body = io.NopCloser(bytes.NewReader(body))
		return f.Server.Transport().RoundTrip(again)
	}
	f.mu.Lock()
	f.calls[operation]++
	if operation == "TransactWriteItems" {
		f.tokens = append(f.tokens, sent.ClientRequestToken)
	}
	if reads := []string{"Query", "GetItem", "Scan"}; slices.Contains(reads, operation) && !sent.ConsistentRead {
		f.stale = append(f.stale, operation)
	}
	var next fault
	if planned := f.faults[operation]; len(planned) > 0 {
		next, f.faults[operation] = planned[0], planned[1:]
	}
	f.mu.Unlock()
	if next == nil {
		return pass(r.Context())
	}
	return next(r.Context(), pass)
}
