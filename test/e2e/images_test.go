package e2e_test

import (
	"net/http"
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/test/e2e/containers"
	"github.com/leftfold/leftfold/test/e2e/processes"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// TestTheImagesKeepTheContract runs the images with the tag LEFTFOLD_IMAGES, as make images built them, on LocalStack, each read-only
// and without privileges: the system keeps its contract, and every service stops with code 0.
func TestTheImagesKeepTheContract(t *testing.T) {
	tag := os.Getenv("LEFTFOLD_IMAGES")
	if tag == "" {
		t.Skip("LEFTFOLD_IMAGES is not set: no images to run (make test-docker builds them)")
	}
	nw := containers.Network(t)
	endpoint := containers.LocalStack(t, nw)
	containers.Provision(t, nw, tag)
	containers.Provision(t, nw, tag) // provisioning twice is safe
	fleet := containers.Start(t, nw, tag)

	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	cfg := aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String(endpoint), HTTPClient: &http.Client{Transport: transport},
		Credentials: aws.AnonymousCredentials{},
	}
	var names topology.Names
	require.NoError(t, service.LoadConfig(service.Fixed(nil), &names))
	inspector := systemtest.NewInspector(cfg, names, systemtest.Client{HTTP: &http.Client{Transport: fleet}, Base: "http://leftfold.test"})
	keepsItsContract(t, inspector, 4, 400)

	for _, name := range processes.ServiceNames() {
		code, took := fleet.Stop(t, name)
		assert.Zero(t, code, "%s was killed, or stopped with an error", name)
		t.Logf("%-14s ready after %s, stopped within %s", name, fleet.ReadyAfter[name].Round(1e6), took.Round(1e6))
	}
}
