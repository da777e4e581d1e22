package check_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/zclconf/go-cty/cty"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service"
	console "github.com/leftfold/leftfold/services/console/app"
	"github.com/leftfold/leftfold/services/leftfold/app"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// TestTheConsoleNeedsTheseRightsAndNoOthers opens the console's pages, and acts, under the role that Terraform gives it.
func TestTheConsoleNeedsTheseRightsAndNoOthers(t *testing.T) {
	t.Parallel()
	s := systemtest.New(t, nil)
	(&scenario{t: t, s: s}).run()
	keepProcess(t, s, "retried")
	keepProcess(t, s, "cancelled")
	granted := newRole(data(t, nil).Outputs["access"].AsValueMap()[topology.Console])
	var base service.Config
	var cfg console.Config
	const nobody = "http://127.0.0.1:1"
	require.NoError(t, service.LoadConfig(app.Lookup(service.Fixed(map[string]string{"API_URL": nobody, "ADMIN_URLS": nobody})), &base, &cfg))
	p, _, err := service.NewPlatform(base, t.Output())
	require.NoError(t, err)
	p.AWS = aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String(serveUnder(t, granted, s)), HTTPClient: &http.Client{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "x", SecretAccessKey: "x"}, nil
		}),
	}
	p = p.For(topology.Console)
	a, err := console.New(t.Context(), cfg, p)
	require.NoError(t, err)
	pages, _, err := a.Handler(p)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- service.RunParts(ctx, p.Logger, time.Minute, a.Parts...) }()
	defer func() {
		stop()
		require.NoError(t, <-ended)
	}()
	for _, check := range a.Checks {
		require.NoError(t, check.Probe(t.Context()))
	}
	send := func(method, path string, form url.Values) {
		t.Helper()
		r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		pages.ServeHTTP(w, r)
		assert.Less(t, w.Code, http.StatusBadRequest, "%s %s: %s", method, path, w.Body)
	}
	var streams []eventsourcing.StreamID
	for record, err := range s.EventLog.All(t.Context(), 1) {
		require.NoError(t, err)
		if record.Version == 1 && !strings.Contains(record.Stream.Category, "/process/") {
			streams = append(streams, record.Stream)
		}
	}
	require.Greater(t, len(streams), 2)
	for _, stream := range streams {
		send(http.MethodGet, "/console/streams/"+stream.String(), nil)
		send(http.MethodGet, "/console/journey?of="+url.QueryEscape(stream.String()+"#1"), nil) // it takes a name or an address
	}
	const operate = "/console/operate"
	send(http.MethodGet, "/console", nil)
	for _, path := range []string{"/processes", "/processes/grants/retried", "/leases"} {
		send(http.MethodGet, operate+path, nil)
	}
	send(http.MethodPost, operate+"/processes/grants/retried/retry", nil)
	send(http.MethodPost, operate+"/processes/grants/cancelled/cancel", url.Values{"reason": {"a test"}})
	granted.assertEnough(t, topology.Console)
	seldom := map[string]string{}
	for _, p := range s.Names.Projections() {
		seldom["dynamodb:GetItem table/"+p.Table+"-g*"] = rebuilt
	}
	granted.assertNoMore(t, topology.Console, seldom)
}

// TestTheConsoleFindsTheOthers: where the console runs, it has its pages at the load balancer, a name for each service that it asks, and
// the way to their admin addresses, which they open to the tasks' networks.
func TestTheConsoleFindsTheOthers(t *testing.T) {
	t.Parallel()
	assert.NotContains(t, edge(t, nil).Outputs["targets"].AsValueMap(), topology.Console, "only if asked to")
	m := edge(t, map[string]cty.Value{"console": cty.True})
	require.Contains(t, m.Outputs["targets"].AsValueMap(), topology.Console)
	rule := m.Resources["aws_lb_listener_rule"]["pages"][topology.Console]
	assert.Contains(t, read(t, "deploy/terraform/modules/edge/main.tf"), `["/${each.key}", "/${each.key}/*"]`)
	assert.Len(t, rule.Blocks["condition"], 1, "pages are read and forms are sent")
	networks := cty.SetVal([]cty.Value{cty.StringVal("10.0.0.0/24")})
	service, _ := serviceModule(t, map[string]cty.Value{"asks": networks})
	out := service.Resources["aws_vpc_security_group_egress_rule"]["asks"]["10.0.0.0/24"]
	assert.True(t, out.Attributes["to_port"].RawEquals(cty.NumberIntVal(9090)))
	for _, path := range []string{"/console", "/console/streams/a"} {
		assert.Equal(t, topology.Console, topology.ServiceFor(http.MethodPost, path))
	}
	assert.NotEqual(t, topology.Console, topology.ServiceFor(http.MethodGet, "/consoles"))
}
