package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The audit runs beside the live system, through the AWS that the environment names.
func TestScopesAudit(t *testing.T) { // not in parallel: it sets the environment
	system, stop := operate(t)
	defer stop()
	const userID, roleID = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
	for _, r := range [][2]string{
		{"/users", `{"id":"` + userID + `","email":"dan@example.com"}`},
		{"/roles", `{"id":"` + roleID + `","name":"auditor"}`},
		{"/users/" + userID + "/roles", `{"roleId":"` + roleID + `"}`},
	} {
		res, err := http.Post("http://"+system.APIAddr+r[0], "application/json", strings.NewReader(r[1]))
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, http.StatusAccepted, res.StatusCode)
	}
	run := func(args ...string) (code int, out, failure string) {
		return system.run(append([]string{"scopes"}, args...)...)
	}
	code, out, _ := run("audit")
	assert.Zero(t, code)
	assert.Equal(t, "2 streams and 1 scope compared: 0 differences, 0 repaired\n", out)

	const scope = "org/iam/role/" + roleID + "#members"
	_, err := dynamodb.NewFromConfig(system.AWS.Config()).DeleteItem(t.Context(), &dynamodb.DeleteItemInput{
		TableName: aws.String("scopes"), Key: map[string]types.AttributeValue{"scope": &types.AttributeValueMemberS{Value: scope}},
	})
	require.NoError(t, err)
	const missing = "missing: " + scope + ": the streams share complete 1, holders 1, seats 1, the table nothing"
	for _, args := range [][]string{{"audit"}, {"audit", "--repair", "--dry-run"}} {
		code, out, failure := run(args...)
		assert.Equal(t, differs, code)
		assert.Empty(t, failure)
		assert.Equal(t, missing+"\n2 streams and 1 scope compared: 1 difference, 0 repaired\n", out)
	}
	code, out, _ = run("audit", "--repair")
	assert.Zero(t, code)
	assert.Equal(t, missing+": repaired\n2 streams and 1 scope compared: 1 difference, 1 repaired\n", out)
	code, _, _ = run("audit")
	assert.Zero(t, code)
	for _, args := range [][]string{{}, {"audit", "x"}, {"audit", "--parallel", "0"}} {
		code, out, _ = run(args...)
		assert.Equal(t, trouble, code, "%v: what did not run proves nothing", args)
		assert.Empty(t, out)
	}
}
