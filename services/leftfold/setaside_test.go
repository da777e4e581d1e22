package main

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/waittest"
)

// Items that are no events are put into the log of a running system, among others. All others become visible; the list has those, and
// a release sends what was repaired.
func TestWhatIsNoEventIsSetAsideListedAndReleased(t *testing.T) { // not in parallel: it sets the environment
	system := start(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- system.Run(ctx) }()
	outside := httptest.NewServer(system.AWS)
	defer outside.Close()
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": outside.URL, "AWS_REGION": "us-east-1",
		"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local",
	} {
		t.Setenv(name, value)
	}
	run := func(args ...string) (code int, out, failure string) {
		var o, logs bytes.Buffer
		root := newRoot(&o, &logs)
		root.SetArgs(append([]string{"set-aside"}, args...))
		if err := root.ExecuteContext(t.Context()); err != nil {
			coded, ok := errors.AsType[outcome](err)
			require.True(t, ok, "%v", err)
			code, failure = coded.ExitCode(), err.Error()
		}
		return code, o.String(), failure
	}
	code, out, _ := run("list")
	assert.Zero(t, code)
	assert.Empty(t, out)

	db := dynamodb.NewFromConfig(system.AWS.Config())
	const repaired = "org/iam/user/01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57"
	put := func(stream, version, schema string) {
		text := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
		number := func(s string) types.AttributeValue { return &types.AttributeValueMemberN{Value: s} }
		_, err := db.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("EventLog"), Item: map[string]types.AttributeValue{
			"stream": text(stream), "version": number(version), "id": text(stream + version), "name": text("org/iam/user/registered"),
			"schema": number(schema), "data": text(`{"email":"dan@example.com"}`), "recorded_at": text("2026-01-02T03:04:05.000Z"),
		}})
		require.NoError(t, err)
	}
	bad := []string{"org/iam/user/a b", "org/iam/user/é", "org/iam/user/a\nb", "org/iam/user/" + strings.Repeat("a", 300), "no stream"}
	for _, stream := range bad {
		put(stream, "1", "1")
	}
	put("org/iam/user/x", "0", "1")
	put("org/iam/user/x", "-1", "1")
	put(repaired, "1", "0")

	res, err := http.Post("http://"+system.APIAddr+"/users", "application/json", strings.NewReader(`{"email":"good@example.com"}`))
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusAccepted, res.StatusCode)
	visible := func(path string) func() (any, bool) {
		return func() (any, bool) {
			res, err := http.Get("http://" + system.APIAddr + path)
			return nil, err == nil && res.Body.Close() == nil && res.StatusCode == http.StatusOK
		}
	}
	waittest.Until(t, "a user behind all of them", visible(res.Header.Get("Location")+"?min_version=1"))
	waittest.Until(t, "entries of all of them", func() (any, bool) {
		code, out, _ = run("list")
		return out, strings.Count(out, "\n") == len(bad)+3
	})
	assert.Equal(t, differs, code)

	code, out, _ = run("release", "--all")
	assert.Equal(t, differs, code)
	assert.Equal(t, len(bad)+3, strings.Count(out, "stays: "))
	put(repaired, "1", "1")
	id := regexp.MustCompile(`(?m)^(\w+) .*01920b7c`).FindStringSubmatch(out)[1]
	code, out, _ = run("release", id)
	assert.Zero(t, code, out)
	assert.Contains(t, out, ": sent again\n")
	waittest.Until(t, "the user of the repaired item", visible("/users/"+strings.TrimPrefix(repaired, "org/iam/user/")+"?min_version=1"))

	code, _, _ = run("release", "--all", "--discard")
	assert.Zero(t, code)
	code, out, _ = run("list")
	assert.Zero(t, code)
	assert.Empty(t, out)

	for _, args := range [][]string{{}, {"lst"}, {"list", "x"}, {"release"}, {"release", "--all", "x"}, {"release", "--al"}} {
		code, out, failure := run(args...)
		assert.Equal(t, trouble, code, args)
		assert.Empty(t, out)
		assert.Regexp(t, "^set-aside: ", failure)
	}
	stop()
	require.NoError(t, <-ended)
}
