package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
	"github.com/leftfold/leftfold/pkg/service/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type greet struct {
	Body struct {
		Name  string `json:"name" maxLength:"10"`
		Times int    `json:"times,omitempty" minimum:"1"`
	}
}

// Resolve reports a field that huma may have reported already.
func (in *greet) Resolve(huma.Context) []error {
	return httpapi.Parse("body.name", &in.Body.Name, in.Body.Name, func(name string) (string, error) {
		if name == "" {
			return "", errors.New("want a name")
		}
		return name, nil
	})
}

type greeting struct {
	Body struct {
		Text string `json:"text"`
	}
}

// newServer serves POST /greet, which fails with fail if that is set.
func newServer(logs io.Writer, fail error) http.Handler {
	log := slog.New(slog.NewTextHandler(logs, nil))
	r := httpapi.NewRouter(log)
	httpapi.Register(httpapi.NewAPI(r), log, huma.Operation{OperationID: "greet", Method: http.MethodPost, Path: "/greet"},
		func(_ context.Context, in *greet) (*greeting, error) {
			if fail != nil {
				return nil, fail
			}
			out := new(greeting)
			out.Body.Text = "hello " + in.Body.Name
			return out, nil
		})
	r.Get("/panic", func(http.ResponseWriter, *http.Request) { panic("secret") })
	return r
}

func do(t *testing.T, h http.Handler, method, path, contentType, body string) (*httptest.ResponseRecorder, httpapi.Problem) {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	var p httpapi.Problem
	if rec.Code >= 400 {
		assert.Equal(t, "application/problem+json", rec.Header().Get("Content-Type"))
		require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &p), rec.Body.String())
		assert.Equal(t, rec.Code, p.Status)
		assert.Equal(t, "/problems/"+p.Code, p.Type)
	}
	return rec, p
}

func TestInvalidInputIsAnsweredByAProblem(t *testing.T) {
	t.Parallel()
	h := newServer(io.Discard, nil)
	const asJSON = "application/json"
	for name, tt := range map[string]struct {
		method, path, contentType, body string
		status                          int
		code                            string
	}{
		"fine":                  {"POST", "/greet", asJSON, `{"name":"Ann"}`, 200, ""},
		"fine with charset":     {"POST", "/greet", asJSON + "; charset=utf-8", `{"name":"Ann"}`, 200, ""},
		"malformed":             {"POST", "/greet", asJSON, `{"name":`, 400, "malformed"},
		"no body":               {"POST", "/greet", asJSON, ``, 400, "malformed"},
		"two bodies":            {"POST", "/greet", asJSON, `{"name":"a"}{"name":"b"}`, 400, "malformed"},
		"invalid UTF-8":         {"POST", "/greet", asJSON, "{\"name\":\"\xff\"}", 400, "malformed"},
		"a repeated member":     {"POST", "/greet", asJSON, `{"name":"a","name":"b"}`, 400, "malformed"},
		"deeply nested":         {"POST", "/greet", asJSON, strings.Repeat("[", 30000) + strings.Repeat("]", 30000), 400, "malformed"},
		"huge":                  {"POST", "/greet", asJSON, `{"name":"` + strings.Repeat("a", httpapi.MaxBody) + `"}`, 413, "too_large"},
		"unknown member":        {"POST", "/greet", asJSON, `{"name":"a","admin":true}`, 422, "invalid"},
		"member in two cases":   {"POST", "/greet", asJSON, `{"name":"a","NAME":"b"}`, 422, "invalid"},
		"wrong type":            {"POST", "/greet", asJSON, `{"name":7}`, 422, "invalid"},
		"null":                  {"POST", "/greet", asJSON, `null`, 422, "invalid"},
		"array":                 {"POST", "/greet", asJSON, `[]`, 422, "invalid"},
		"missing member":        {"POST", "/greet", asJSON, `{}`, 422, "invalid"},
		"wrong content type":    {"POST", "/greet", "text/plain", `{"name":"a"}`, 415, "unsupported_media_type"},
		"unknown address":       {"GET", "/nothing", "", ``, 404, "not_found"},
		"wrong method":          {"GET", "/greet", "", ``, 405, "method_not_allowed"},
		"a handler that panics": {"GET", "/panic", "", ``, 500, "internal"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rec, p := do(t, h, tt.method, tt.path, tt.contentType, tt.body)
			assert.Equal(t, tt.status, rec.Code, rec.Body.String())
			assert.Equal(t, tt.code, p.Code)
			assert.NotContains(t, rec.Body.String(), "secret")
		})
	}
}

func TestEveryInvalidFieldIsNamedOnce(t *testing.T) {
	t.Parallel()
	for body, want := range map[string][]string{
		`{"name":"much too long a name","times":0}`: {"body.name", "body.times"},
		`{"times":"x","extra":1}`:                   {"body.extra", "body.name", "body.times"},
		`{}`:                                        {"body.name"},
		`{"e-mail":"x","name":"a"}`:                 {"body.e-mail"},
		// what is wrong as a whole has no parts
		`null`:                {"body"},
		`[]`:                  {"body"},
		`"Ann"`:               {"body"},
		`{"name":"Ann"`:       {"body"},
		`name=Ann`:            {"body"},
		`{"name":1e999}`:      {"body"},
		"{\"name\":\"\xff\"}": {"body"},
	} {
		_, p := do(t, newServer(io.Discard, nil), "POST", "/greet", "application/json", body)
		var at []string
		for _, f := range p.Errors {
			at = append(at, f.Location)
		}
		assert.Equal(t, want, at, body)
	}
}

func TestEachKindOfErrorHasItsStatusAndCode(t *testing.T) {
	t.Parallel()
	claim := eventsourcing.Claim{Category: "c", Name: "email", Value: "dan@example.com"}
	for name, tt := range map[string]struct {
		err    error
		status int
		code   string
		retry  bool
	}{
		"invalid":      {&eventsourcing.Refusal{Kind: eventsourcing.Invalid, Code: "odd", Reason: "is odd"}, 422, "odd", false},
		"not found":    {&eventsourcing.Refusal{Kind: eventsourcing.NotFound, Code: "gone"}, 404, "gone", false},
		"denied":       {fmt.Errorf("decide: %w", &eventsourcing.Refusal{Kind: eventsourcing.FailedPrecondition, Code: "no"}), 409, "no", false},
		"not ready":    {&eventsourcing.Refusal{Kind: eventsourcing.NotReady, Code: "not_yet", Reason: "ask an operator"}, 503, "not_yet", true},
		"claim":        {fmt.Errorf("append: %w", &eventsourcing.ClaimTakenError{Claim: claim}), 409, "email_taken", false},
		"conflict":     {fmt.Errorf("append: %w", eventsourcing.ErrConflict), 409, "busy", true},
		"guard":        {eventsourcing.ErrGuardMoved, 409, "busy", true},
		"scope":        {eventsourcing.ErrScopeMoved, 409, "busy", true},
		"too large":    {eventsourcing.ErrTooLarge, 413, "too_large", false},
		"precondition": {fmt.Errorf("decide: %w", eventsourcing.ErrVersionMismatch), 412, "precondition_failed", false},
		"contended":    {fmt.Errorf("redrive: %w", projection.ErrContended), 503, "unavailable", true},
		"throttled":    {projection.ErrThrottled, 503, "unavailable", true},
		"AWS away":     {eventsourcing.ErrUnavailable, 503, "unavailable", true},
		"out of time":  {context.DeadlineExceeded, 503, "unavailable", true},
		"a bug inside": {errors.New("table secret-table is broken"), 500, "internal", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var logs bytes.Buffer
			rec, p := do(t, newServer(&logs, tt.err), "POST", "/greet", "application/json", `{"name":"Ann"}`)
			assert.Equal(t, tt.status, rec.Code)
			assert.Equal(t, tt.code, p.Code)
			assert.Equal(t, tt.retry, rec.Header().Get("Retry-After") != "")
			assert.NotContains(t, rec.Body.String(), "secret")
			assert.NotContains(t, rec.Body.String(), "dan@example.com")
			assert.Equal(t, tt.status >= 500, strings.Contains(logs.String(), "request failed"))
		})
	}
}

// TestFaultsOfAWSAreUnavailableAndOursInternal takes the error from the SDK itself.
func TestFaultsOfAWSAreUnavailableAndOursInternal(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status int
		body   string
		want   int
	}{
		"no answer":       {0, ``, 503},
		"AWS's fault":     {500, `{"__type":"InternalServerError"}`, 503},
		"a gateway's":     {502, `<html>`, 503},
		"throttled":       {400, `{"__type":"ThrottlingException"}`, 503},
		"our fault":       {400, `{"__type":"ValidationException","message":"secret"}`, 500},
		"a missing table": {400, `{"__type":"ResourceNotFoundException","message":"secret"}`, 500},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := dynamodb.New(dynamodb.Options{
				Region: "eu-west-1", BaseEndpoint: aws.String("http://aws.invalid"), Retryer: aws.NopRetryer{},
				HTTPClient: answering(func() (*http.Response, error) {
					if tt.status == 0 {
						return nil, errors.New("secret host unreachable")
					}
					return &http.Response{StatusCode: tt.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(tt.body))}, nil
				}),
			})
			_, err := projection.Reader{DB: db, Table: "users"}.Get(t.Context(), "1", "user", &struct{}{})
			rec, p := do(t, newServer(io.Discard, err), "POST", "/greet", "application/json", `{"name":"Ann"}`)
			assert.Equal(t, tt.want, rec.Code, "%v", err)
			assert.NotContains(t, p.Detail, "secret")
		})
	}
}

type answering func() (*http.Response, error)

func (a answering) Do(*http.Request) (*http.Response, error) { return a() }

func TestAValidCorrelationIDIsKeptAndAnotherReplaced(t *testing.T) {
	t.Parallel()
	var seen string
	r := httpapi.NewRouter(slog.New(slog.DiscardHandler))
	r.Get("/", func(_ http.ResponseWriter, r *http.Request) {
		seen = telemetry.CorrelationOf(r.Context()).CorrelationID
	})
	for sent, keeps := range map[string]bool{
		"abc-1": true, "": false, "with space": false, strings.Repeat("a", 129): false, "esc\x1b": false,
	} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		req.Header.Set(httpapi.CorrelationHeader, sent)
		rec := httptest.NewRecorder()
		r.ServeHTTP(rec, req)
		assert.NotEmpty(t, seen)
		assert.Equal(t, seen, rec.Header().Get(httpapi.CorrelationHeader))
		assert.Equal(t, keeps, seen == sent, "sent %q", sent)
	}
}

func TestRequestsInFlightFinishBeforeTheStop(t *testing.T) {
	t.Parallel()
	arrived, finish := make(chan struct{}), make(chan struct{})
	s, err := httpapi.Listen(t.Context(), "127.0.0.1:0", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-finish
		_, _ = io.WriteString(w, "done")
	}), httpapi.Config{}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	answer := make(chan string, 1)
	go func() {
		req, _ := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodGet, "http://"+s.Addr(), nil)
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		res, err := client.Do(req)
		if err != nil {
			answer <- err.Error()
			return
		}
		defer func() { _ = res.Body.Close() }()
		b, _ := io.ReadAll(res.Body)
		answer <- string(b)
	}()
	<-arrived
	stop()
	close(finish)
	assert.Equal(t, "done", <-answer)
	require.NoError(t, <-ended)
}

func TestAnAddressInUseIsNamed(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	s, err := httpapi.Listen(t.Context(), "127.0.0.1:0", http.NotFoundHandler(), httpapi.Config{}, log)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	_, err = httpapi.Listen(t.Context(), s.Addr(), http.NotFoundHandler(), httpapi.Config{}, log)
	require.ErrorContains(t, err, "listen on "+s.Addr())
	require.ErrorContains(t, err, "address already in use")
}

func FuzzBody(f *testing.F) {
	for _, seed := range []string{
		`{"name":"Ann"}`, `{"name":"a","name":"b"}`, `[[[[`, "{\"name\":\"\xff\"}", `{"name":"\ud800"}`, `{}`, ``, `null`,
	} {
		f.Add([]byte(seed))
	}
	h := newServer(io.Discard, nil)
	f.Fuzz(func(t *testing.T, body []byte) {
		rec, _ := do(t, h, "POST", "/greet", "application/json", string(body))
		if rec.Code != http.StatusOK && (rec.Code < 400 || rec.Code > 499) {
			t.Errorf("%q: status %d", body, rec.Code)
		}
	})
}
