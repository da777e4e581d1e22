package localaws

import (
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(b)
}

func TestREADMEListsAllOperationsAndNoOthers(t *testing.T) {
	t.Parallel()
	var listed []string
	for _, row := range regexp.MustCompile("(?m)^\\| (\\w+) \\| (`.*)\\|$").FindAllStringSubmatch(read(t, "README.md"), -1) {
		for _, name := range regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(row[2], -1) {
			listed = append(listed, row[1]+"."+name[1])
		}
	}
	slices.Sort(listed)
	assert.Equal(t, New(Options{}).operations(), listed)
}

func TestREADMEListsAllKindsOfFaults(t *testing.T) {
	t.Parallel()
	readme := read(t, "README.md")
	for _, name := range regexp.MustCompile(`FaultKind = "(\w+)"`).FindAllStringSubmatch(read(t, "faults.go"), -1) {
		assert.Contains(t, readme, "| `"+name[1]+"` |")
	}
}

func TestREADMEFaultsAreAccepted(t *testing.T) {
	t.Parallel()
	blocks := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(read(t, "README.md"), -1)
	require.NotEmpty(t, blocks)
	for _, block := range blocks {
		w := httptest.NewRecorder()
		New(Options{}).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/_localaws/faults", strings.NewReader(block[1])))
		assert.Equal(t, http.StatusNoContent, w.Code, w.Body.String())
	}
}

// Every line of the README's Go code is in a test or an example that runs.
func TestREADMECodeIsTested(t *testing.T) {
	t.Parallel()
	unqualified := func(code string) string { return strings.ReplaceAll(code, "localaws.", "") }
	tested := unqualified(read(t, "example_test.go") + read(t, "readme_test.go"))
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(read(t, "README.md"), -1)
	require.NotEmpty(t, blocks)
	for _, block := range blocks {
		for line := range strings.Lines(block[1]) {
			if !strings.Contains(tested, unqualified(strings.TrimSpace(line))) {
				t.Errorf("no test or example has the line %s", line)
			}
		}
	}
}

func TestALongPollPassesInVirtualTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := New(Options{})
		defer server.Close()
		client := sqs.NewFromConfig(server.Config())
		queue, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("jobs")})
		require.NoError(t, err)
		start := time.Now()
		_, err = client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: queue.QueueUrl, WaitTimeSeconds: 20})
		require.NoError(t, err)
		assert.Equal(t, 20*time.Second, time.Since(start))
	})
}
