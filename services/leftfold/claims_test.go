package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The audit runs beside the live system, through the AWS that the environment names.
func TestClaimsAudit(t *testing.T) { // not in parallel: it sets the environment
	system := start(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- system.Run(ctx) }()
	outside := httptest.NewServer(system.AWS) // it closes connections that were made and not used, unlike the system's own
	defer outside.Close()
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": outside.URL, "AWS_REGION": "us-east-1",
		"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local",
	} {
		t.Setenv(name, value)
	}
	for n := range 3 {
		body := strings.NewReader(fmt.Sprintf(`{"email":"secret%d@example.com"}`, n))
		res, err := http.Post("http://"+system.APIAddr+"/users", "application/json", body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, http.StatusAccepted, res.StatusCode)
	}
	run := func(args ...string) (code int, out, failure string) {
		var o, p bytes.Buffer
		root := newRoot(&o, &p)
		root.SetArgs(append([]string{"claims"}, args...))
		if err := root.ExecuteContext(t.Context()); err != nil {
			coded, ok := errors.AsType[outcome](err)
			require.True(t, ok, "%v", err)
			code, failure = coded.ExitCode(), err.Error()
		}
		assert.NotContains(t, o.String()+p.String()+failure, "secret", "no values")
		return code, o.String(), failure
	}

	code, out, _ := run("audit")
	assert.Zero(t, code)
	assert.Equal(t, "3 streams and 3 claims compared: 0 differences, 0 repaired\n", out)

	db := dynamodb.NewFromConfig(system.AWS.Config())
	_, err := db.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{
		TableName: aws.String("set-validations"),
		Key:       map[string]types.AttributeValue{"constraint": &types.AttributeValueMemberS{Value: "org/iam/user#email:secret1@example.com"}},
	})
	require.NoError(t, err)
	code, out, failure := run("audit")
	assert.Equal(t, differs, code)
	assert.Empty(t, failure)
	assert.Regexp(t, `^missing: org/iam/user#email is held by org/iam/user/[0-9a-f-]{36} and has no owner in the table\n`+
		"3 streams and 2 claims compared: 1 difference, 0 repaired\n$", out)
	code, out, _ = run("audit", "--repair", "--parallel", "2")
	assert.Zero(t, code)
	assert.Regexp(t, "^missing: .*: repaired\n.*: 1 difference, 1 repaired\n$", out)
	code, _, _ = run("audit")
	assert.Zero(t, code)

	for _, args := range [][]string{
		{}, {"adit"}, {"audit", "--repiar"}, {"audit", "repair"}, {"audit", "--parallel", "0"}, {"audit", "--repair-emptied"},
	} {
		code, out, failure = run(args...)
		assert.Equal(t, trouble, code, "%v: what did not run proves nothing", args)
		assert.Empty(t, out)
		assert.Regexp(t, "^claims audit: ", failure)
	}
	t.Setenv("TABLE_EVENT_LOG", "elsewhere")
	code, _, failure = run("audit")
	assert.Equal(t, trouble, code)
	assert.Contains(t, failure, "elsewhere")
	stop()
	require.NoError(t, <-ended)
}

// Operators' endpoints of both projections are served at the admin address only.
func TestParkedIsOnlyOnTheAdminAddress(t *testing.T) {
	t.Parallel()
	system := start(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- system.Run(ctx) }()
	status := func(addr, method, path string) int {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr+path, nil)
		require.NoError(t, err)
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		return res.StatusCode
	}
	for _, name := range []string{"users", "roles", "audit-trail", "processes"} {
		list := "/projections/" + name + "/parked"
		assert.Equal(t, http.StatusOK, status(system.AdminAddr, http.MethodGet, list))
		assert.Equal(t, http.StatusNotFound, status(system.APIAddr, http.MethodGet, list))
		for _, category := range []string{"org/iam/user", "org/iam/role"} {
			redrive := list + "/" + category + "/01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57/redrive"
			assert.Equal(t, http.StatusMethodNotAllowed, status(system.AdminAddr, http.MethodGet, redrive))
			assert.Equal(t, http.StatusNotFound, status(system.AdminAddr, http.MethodPost, redrive), "it is not parked")
			assert.Equal(t, http.StatusNotFound, status(system.APIAddr, http.MethodPost, redrive))
			assert.Equal(t, http.StatusNotFound, status(system.APIAddr, http.MethodGet, redrive), "not even the method is known")
		}
	}
	stop()
	require.NoError(t, <-ended)
}
