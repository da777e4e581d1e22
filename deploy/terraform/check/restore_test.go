package check_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/iam/provision"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// TestARestoredLogIsPublishedAgain restores the log as docs/operations.md says: a new table with the old items and a new stream,
// empty read models, the old leases.
func TestARestoredLogIsPublishedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, restore)
}

func restore(t *testing.T) {
	roles := taskRoles(t, "polling")
	s := systemtest.New(t, nil, roles.guard)
	var users []string
	for range 5 {
		body := map[string]any{"email": uuid.NewString() + "@example.com"}
		a, err := s.Do(t.Context(), systemtest.Request{Method: http.MethodPost, Path: "/users", Body: body})
		require.NoError(t, err)
		require.Equal(t, 202, a.Status)
		receipt, err := systemtest.Decode[systemtest.Receipt](a)
		require.NoError(t, err)
		users = append(users, receipt.ID)
	}
	visible := func() {
		for _, id := range users {
			for _, model := range []projection.Reader{s.Users(), s.Roles()} {
				var seen struct{ projection.Fence }
				_, err := model.Await(t.Context(), id, "user", 1, patience, &seen)
				require.NoError(t, err)
			}
		}
	}
	visible()

	for _, service := range s.Services() {
		require.NoError(t, service.Stop())
	}
	log, err := s.Items(t.Context(), s.Names.EventLog)
	require.NoError(t, err)
	require.Len(t, log, len(users))
	for _, table := range []string{s.Names.EventLog, s.Names.Users, s.Names.Roles} {
		_, err := s.DB.DeleteTable(t.Context(), &dynamodb.DeleteTableInput{TableName: &table})
		require.NoError(t, err)
	}
	bare := dynamostore.Tables{Events: s.Names.EventLog}.CreateTableInputs()[0]
	bare.StreamSpecification = nil // imported and restored items do not pass the stream, which is enabled afterwards
	_, err = s.DB.CreateTable(t.Context(), bare)
	require.NoError(t, err)
	for _, item := range log {
		_, err := s.DB.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &s.Names.EventLog, Item: item})
		require.NoError(t, err)
	}
	_, err = s.DB.UpdateTable(t.Context(), &dynamodb.UpdateTableInput{
		TableName:           &s.Names.EventLog,
		StreamSpecification: &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeNewImage},
	})
	require.NoError(t, err)
	require.NoError(t, provision.Run(t.Context(), s.AWS.Config(), provision.Config{Names: s.Names}))
	time.Sleep(6 * time.Minute) // virtual time, longer than SQS's deduplication interval
	for _, service := range s.Services() {
		require.NoError(t, service.Start(t.Context()))
	}
	visible()
	for name, r := range roles {
		r.assertEnough(t, name)
	}
	scan := right{action: "dynamodb:Scan", resource: "table/EventLog"}
	require.True(t, roles["streamer"].used[scan], "the log was published, not what Kinesis still had")
}
