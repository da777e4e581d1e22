package main

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/pkg/service/auth/devissuer"
	"github.com/leftfold/leftfold/services/leftfold/app"
)

func TestTheIssuerRunsOnlyWhereTheEnvironmentIsLocal(t *testing.T) {
	for _, environment := range []string{"", "production"} {
		t.Setenv("ENVIRONMENT", environment)
		require.ErrorContains(t, runIssuer(t.Context(), io.Discard, io.Discard), "only where ENVIRONMENT=local, and it is production")
	}
}

func TestTheIssuerServesAndStops(t *testing.T) {
	t.Parallel()
	issuer, err := app.NewIssuer(t.Context(), app.IssuerConfig{
		Process: service.Config{LogFormat: "text", StopTimeout: time.Minute},
		Issuer: devissuer.Config{
			Environment: auth.Local, Addr: "127.0.0.1:0", URL: "http://issuer.example.com", Audience: "leftfold", TokenLife: time.Hour,
		},
	}, io.Discard)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- issuer.Run(ctx) }()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+issuer.Addr+"/.well-known/openid-configuration", nil)
	require.NoError(t, err)
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	assert.Contains(t, string(text), `"issuer":"http://issuer.example.com"`)
	stop()
	require.NoError(t, <-ended)
}
