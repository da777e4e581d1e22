package cases

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/test/e2e/processes"
)

// A projector counts what it applied when it hears so. If the answer was lost, the rows show it all the same.
func TestWhatRowsShowIsNotWaitedForThoughNoServiceCountedIt(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: builds the services and runs them as processes")
	}
	programs, err := filepath.Abs(filepath.Join("..", "..", "..", "bin", "processes"))
	require.NoError(t, err)
	require.NoError(t, processes.Build(t.Context(), programs))
	var said []string
	b := Bench{Programs: programs, Say: func(format string, _ ...any) { said = append(said, format) }}
	require.NoError(t, b.with(t.Context(), plan{}, func(s *system) error {
		s.doubt = time.Second
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, aws.ToString(s.Config.BaseEndpoint)+"/_localaws/faults",
			strings.NewReader(`{"seed":1,"faults":[
				{"fault":"lose_answer","operation":"DynamoDB.PutItem","access_key":"projector-user","probability":1,"limit":1},
				{"fault":"lose_answer","operation":"DynamoDB.TransactWriteItems","access_key":"projector-user","probability":1,"limit":1}]}`))
		require.NoError(t, err)
		answer, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		require.Equal(t, http.StatusNoContent, answer.StatusCode)
		require.NoError(t, s.load(t.Context(), 20, eventsPerUser))
		missing, err := s.missing(t.Context())
		require.NoError(t, err)
		assert.Contains(t, missing, "shows 0 of 200")
		require.NoError(t, s.add(t.Context(), 1, processes.ServiceNames()...))
		require.NoError(t, s.shown(t.Context(), 20*eventsPerUser))
		applied, err := s.applied(t.Context())
		require.NoError(t, err)
		assert.Less(t, applied, 20.*eventsPerUser)
		return nil
	}))
	assert.Equal(t, []string{"the services counted %.0f of %.0f events, the rows show all"}, said)
}
