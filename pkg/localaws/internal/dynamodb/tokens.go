package dynamodb

import (
	"sync"
	"time"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
)

// Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html#DDB-TransactWriteItems-request-ClientRequestToken
const tokenWindow = 10 * time.Minute

// tokens record which transactions were done, so that repeating a request has no effect.
type tokens struct {
	kept kept

	mu      sync.Mutex
	entries map[string]*token
	ended   []*token // by time
}

type token struct {
	name    string
	request [32]byte
	done    bool
	doneAt  time.Time
	cost    bill // of a repeated request
}

// begin reserves a token for a request. The caller must call end unless the returned token is done.
func (ts *tokens) begin(name string, request [32]byte, now time.Time) (*token, error) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.dropExpired(now)
	known := ts.entries[name]
	switch {
	case known == nil:
		t := &token{name: name, request: request}
		ts.entries[name] = t
		return t, nil
	case known.request != request:
		return nil, awsjson.Errorf("IdempotentParameterMismatchException", "DynamoDB rejected the request because you "+
			"retried a request with a different payload but with an idempotent token that was already used.")
	case !known.done:
		return nil, awsjson.Errorf("TransactionInProgressException",
			"The transaction with the given request token is already in progress.")
	default:
		return known, nil
	}
}

// end keeps the token of a transaction that was done for tokenWindow. The token of a failed one can be used again.
func (ts *tokens) end(t *token, done bool, cost bill, now time.Time) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if !done {
		delete(ts.entries, t.name)
		return
	}
	t.done, t.doneAt, t.cost = true, now, cost
	ts.ended = append(ts.ended, t)
}

func (ts *tokens) dropExpired(now time.Time) {
	n := 0
	for n < len(ts.ended) && now.Sub(ts.ended[n].doneAt) > tokenWindow {
		delete(ts.entries, ts.ended[n].name)
		ts.forget(ts.ended[n].name)
		n++
	}
	clear(ts.ended[:n])
	ts.ended = ts.ended[n:]
}
