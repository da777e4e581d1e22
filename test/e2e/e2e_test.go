package e2e_test

import (
	"net/http"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

func TestMain(m *testing.M) {
	// testcontainers' connection to the container that cleans up after a killed test process; it lasts as long as this process.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/testcontainers/testcontainers-go.(*Reaper).connect.func1"))
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

// object is a JSON object.
type object = map[string]any

// api is a client of the system in one test.
type api struct {
	*systemtest.System
	t *testing.T
}

func (a api) send(method, path string, body any) systemtest.Answer {
	a.t.Helper()
	answer, err := a.Do(a.t.Context(), systemtest.Request{Method: method, Path: path, Body: body})
	require.NoError(a.t, err)
	return answer
}

// accept sends a command that must be accepted.
func (a api) accept(method, path string, body any) systemtest.Receipt {
	a.t.Helper()
	answer := a.send(method, path, body)
	require.Equal(a.t, http.StatusAccepted, answer.Status, "%s %s: %s", method, path, answer.Body)
	receipt, err := systemtest.Decode[systemtest.Receipt](answer)
	require.NoError(a.t, err)
	return receipt
}

// refuse sends a request that must be answered by a problem of that code.
func (a api) refuse(method, path string, body any, status int, code string) systemtest.Problem {
	a.t.Helper()
	answer := a.send(method, path, body)
	assert.Equal(a.t, status, answer.Status, "%s %s: %s", method, path, answer.Body)
	return a.problem(answer, code)
}

func (a api) problem(answer systemtest.Answer, code string) systemtest.Problem {
	a.t.Helper()
	assert.Equal(a.t, "application/problem+json", answer.Header.Get("Content-Type"))
	problem, err := systemtest.Decode[systemtest.Problem](answer)
	require.NoError(a.t, err)
	assert.Equal(a.t, code, problem.Code, "%s", answer.Body)
	assert.Equal(a.t, answer.Status, problem.Status)
	assert.Equal(a.t, "/problems/"+problem.Code, problem.Type)
	assert.NotEmpty(a.t, problem.Detail)
	return problem
}

// read is a GET that must succeed.
func read[T any](a api, path string) (T, http.Header) {
	a.t.Helper()
	answer := a.send(http.MethodGet, path, nil)
	require.Equal(a.t, http.StatusOK, answer.Status, "%s: %s", path, answer.Body)
	v, err := systemtest.Decode[T](answer)
	require.NoError(a.t, err)
	return v, answer.Header
}
