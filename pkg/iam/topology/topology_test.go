package topology_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/iam/provision"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/pkg/service/health"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var names = topology.Names{
	EventLogName:  topology.EventLogName{EventLog: "log"},
	CommandNames:  topology.CommandNames{SetValidations: "claims", Commands: "commands", Snapshots: "snapshots"},
	HopNames:      topology.HopNames{Leases: "leases", Stream: "events"},
	UserTableName: topology.UserTableName{Users: "users"},
	RoleTableName: topology.RoleTableName{Roles: "roles"},
	QueueNames: topology.QueueNames{
		UserQueueName: topology.UserQueueName{UserQueue: "users.fifo"},
		RoleQueueName: topology.RoleQueueName{RoleQueue: "roles.fifo"},
	},
}

// TestEachProjectionHearsWholeCategories: a fence that misses versions would heal for ever.
func TestEachProjectionHearsWholeCategories(t *testing.T) {
	t.Parallel()
	both := []string{user.Category, role.Category}
	subscriptions := names.Subscriptions()
	require.Len(t, subscriptions, 2)
	for i, queue := range []string{"users.fifo", "roles.fifo"} {
		assert.Equal(t, queue, subscriptions[i].Queue)
		assert.ElementsMatch(t, both, subscriptions[i].Categories)
	}
}

func TestADeadLetterQueueIsNamedAfterItsQueue(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "IamUserQueue-dlq.fifo", topology.DeadLetters("IamUserQueue.fifo"))
}

// checks are one of each kind.
func checks(cfg aws.Config) []health.Check {
	return []health.Check{
		topology.TableCheck(dynamodb.NewFromConfig(cfg), names.EventLog),
		topology.StreamCheck(kinesis.NewFromConfig(cfg), names.Stream),
		topology.QueueCheck(sqs.NewFromConfig(cfg), names.UserQueue),
	}
}

func TestChecksPassOnceEverythingIsThere(t *testing.T) {
	t.Parallel()
	server := localaws.New(localaws.Options{})
	defer server.Close()
	missing := map[string]string{
		"log": "ResourceNotFoundException", "events": "ResourceNotFoundException",
		"users.fifo": "AWS.SimpleQueueService.NonExistentQueue",
	}
	for _, c := range checks(server.Config()) {
		require.EqualError(t, c.Probe(t.Context()), missing[c.Name], "what an operator reads first")
	}
	require.NoError(t, provision.Run(t.Context(), server.Config(), provision.Config{Names: names}))
	for _, c := range checks(server.Config()) {
		require.NoError(t, c.Probe(t.Context()), c.Name)
	}
}

// answering is an AWS that gives every call the same answer.
type answering struct {
	body string
	err  error
}

func (a answering) Do(*http.Request) (*http.Response, error) {
	if a.err != nil {
		return nil, a.err
	}
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(bytes.NewBufferString(a.body)),
	}, nil
}

func config(client aws.HTTPClient) aws.Config {
	return aws.Config{
		Region: "eu-west-1", BaseEndpoint: aws.String("http://aws.invalid"), HTTPClient: client,
		Retryer:     func() aws.Retryer { return aws.NopRetryer{} },
		Credentials: aws.AnonymousCredentials{},
	}
}

func TestAChecksErrorNamesWhatHidesIt(t *testing.T) {
	t.Parallel()
	for _, c := range checks(config(answering{err: errors.New("no route to host")})) {
		err := c.Probe(t.Context())
		require.ErrorContains(t, err, "no route to host", c.Name)
		assert.NotContains(t, err.Error(), "operation error", c.Name)
	}
}

func TestWhatIsBeingMadeOrTakenDownIsAway(t *testing.T) {
	t.Parallel()
	for status, usable := range map[string]bool{"ACTIVE": true, "UPDATING": true, "CREATING": false, "DELETING": false} {
		body := `{"Table":{"TableStatus":"` + status + `"},"StreamDescriptionSummary":{"StreamStatus":"` + status + `"}}`
		for _, c := range checks(config(answering{body: body}))[:2] {
			err := c.Probe(t.Context())
			if usable {
				require.NoError(t, err, "%s %s", c.Name, status)
			} else {
				require.EqualError(t, err, "not active", "%s %s", c.Name, status)
			}
		}
	}
}

func TestChecksHonourTheirContext(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	server := localaws.New(localaws.Options{})
	defer server.Close()
	for _, c := range checks(server.Config()) {
		require.ErrorIs(t, c.Probe(ctx), context.Canceled, c.Name)
	}
}
