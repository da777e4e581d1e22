package e2e_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/auth/devissuer"
	broker "github.com/leftfold/leftfold/services/broker/app"
	commandapi "github.com/leftfold/leftfold/services/command-api/app"
	console "github.com/leftfold/leftfold/services/console/app"
	"github.com/leftfold/leftfold/services/leftfold/app"
	processor "github.com/leftfold/leftfold/services/processor/app"
	streamer "github.com/leftfold/leftfold/services/streamer/app"
)

var update = flag.Bool("update", false, "write .env.example")

const root = "../.."

// TestEnvExample compares .env.example with the programs' declarations; -update writes it.
func TestEnvExample(t *testing.T) {
	t.Parallel()
	declared := declaredVariables(t)
	text := envExample(declared)
	path := filepath.Join(root, ".env.example")
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	stands, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, text, string(stands), "run: go test ./test/e2e -run TestEnvExample -update")
	for name := range declared {
		assert.Equal(t, 1, strings.Count(text, "\n# "+name+"="), "%s must be listed once", name)
	}
}

// envExample groups the variables by who reads them; each is listed with its first reader.
func envExample(declared map[string]service.Variable) string {
	var out strings.Builder
	out.WriteString(`# Every variable of every service, with its meaning and its default; a service needs none of them set but
# OIDC_ISSUER and OIDC_AUDIENCE.
# "make run" sets some otherwise, which is noted. AWS itself is reached as the SDK always does: by AWS_REGION,
# AWS_ENDPOINT_URL, credentials from the environment, a profile or the task's role. "make run" brings its own AWS.
# A copy of this file as .env is read by make run, make demo and Docker Compose.

# Docker Compose starts this stand-in for AWS if no profile is named: localstack or embedded.
COMPOSE_PROFILES=localstack
`)
	left := maps.Clone(declared)
	own := app.Lookup(service.Fixed(nil))
	section := func(title string, variables []service.Variable) {
		fmt.Fprintf(&out, "\n## %s\n", title)
		for _, v := range variables {
			if _, isNew := left[v.Name]; !isNew {
				continue
			}
			delete(left, v.Name)
			meaning := v.Meaning
			if other, ok := own(v.Name); ok && other != v.Default {
				meaning += "; make run: " + other
			}
			fmt.Fprintf(&out, "\n# %s\n# %s=%s\n", meaning, v.Name, v.Default)
		}
	}
	section("Every process", service.Variables(&service.Config{}))
	section("The REST API of command-api and the projectors", service.Variables(&service.API{}))
	section("Names of AWS resources, the same for all services", service.Variables(&topology.Names{}))
	section("command-api", service.Variables(&commandapi.Config{}))
	section("streamer and broker", service.Variables(&streamer.Config{}))
	section("broker", service.Variables(&broker.Config{}))
	var projectors []string
	for _, p := range (topology.Names{}).Projections() {
		projectors = append(projectors, p.Service)
	}
	section(topology.Processor, service.Variables(&processor.Config{}))
	section("console", service.Variables(&console.Config{}))
	section(strings.Join(projectors, " and "), service.Variables(&app.Services{}))
	section("leftfold (make run)", service.Variables(&app.Config{}))
	section("leftfold provision", []service.Variable{declared["PROVISION_PATIENCE"]})
	section("leftfold issuer", service.Variables(&devissuer.Config{}))
	demo := []service.Variable{}
	for _, name := range []string{"DEMO_USERS", "DEMO_RATE", "DEMO_API", "DEMO_TOKEN"} { // internal to leftfold: only its source can be read
		demo = append(demo, declared[name])
	}
	section("make demo", demo)
	return out.String()
}

// declaredVariables finds every field with an envconfig tag in the source, so that none is forgotten above.
func declaredVariables(t *testing.T) map[string]service.Variable {
	t.Helper()
	out := map[string]service.Variable{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			field, ok := n.(*ast.Field)
			if !ok || field.Tag == nil {
				return true
			}
			tag, err := strconv.Unquote(field.Tag.Value)
			if name, ok := reflect.StructTag(tag).Lookup("envconfig"); ok && err == nil {
				tags := reflect.StructTag(tag)
				out[name] = service.Variable{Name: name, Default: tags.Get("default"), Meaning: tags.Get("desc")}
			}
			return true
		})
		return nil
	})
	require.NoError(t, err)
	require.NotEmpty(t, out)
	return out
}
