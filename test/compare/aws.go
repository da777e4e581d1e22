package main

import (
	"context"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"

	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/test/compare/internal/report"
)

// embedded is an embedded AWS on a loopback port.
type embedded struct {
	aws    *localaws.Server
	server *http.Server
	url    string
	calls  atomic.Int64
	loses  atomic.Bool
}

func newEmbedded(ctx context.Context) (*embedded, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	e := &embedded{aws: localaws.New(localaws.Options{}), url: "http://" + listener.Addr().String()}
	e.server = &http.Server{Handler: e}
	go func() { _ = e.server.Serve(listener) }() // ends with Close
	return e, nil
}

func (e *embedded) close() error {
	e.aws.Close()
	return e.server.Close()
}

// loseAnswer breaks the connection of the next write after it has taken effect.
func (e *embedded) loseAnswer() { e.loses.Store(true) }

// ServeHTTP implements http.Handler.
func (e *embedded) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer e.calls.Add(1)
	if !e.loses.Load() || !writes(r) {
		e.aws.ServeHTTP(w, r)
		return
	}
	answer := httptest.NewRecorder()
	e.aws.ServeHTTP(answer, r)
	if answer.Code == http.StatusOK && e.loses.CompareAndSwap(true, false) {
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes()) // the client may have disconnected
}

func writes(r *http.Request) bool {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	switch operation {
	case "PutItem", "UpdateItem", "BatchWriteItem", "TransactWriteItems":
		return true
	}
	return false
}

// used sums up what was used since the AWS was made.
func (e *embedded) used() (sum report.Cost) {
	for _, u := range e.aws.Usage() {
		sum.Calls += float64(u.Calls)
		sum.ReadUnits += u.ReadUnits
		sum.WriteUnits += u.WriteUnits
	}
	return sum
}
