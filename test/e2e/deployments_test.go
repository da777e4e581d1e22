package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/iam/aggregates"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/test/e2e/processes"
)

// TestDeploymentsFollowTheTopology compares what deployments list by projection, service or aggregate, in files that cannot read Go,
// with the code; -update writes it.
func TestDeploymentsFollowTheTopology(t *testing.T) {
	t.Parallel()
	const again = "run: go test ./test/e2e -run TestDeploymentsFollowTheTopology -update"
	consumers := terraformConsumers(t)
	stands, err := os.ReadFile(filepath.Join(root, consumersFile))
	if *update {
		err = os.WriteFile(filepath.Join(root, consumersFile), consumers, 0o644)
	} else {
		assert.Equal(t, string(consumers), string(stands), "%s: %s", consumersFile, again)
	}
	require.NoError(t, err)
	parts := map[string]int{}
	for _, part := range deployed(t) {
		parts[part.file]++
		file := filepath.Join(root, part.file)
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		mark := regexp.MustCompile(strings.ReplaceAll(
			`(?ms)(^ *# NAME: written by TestDeploymentsFollowTheTopology\n)(.*?)(^ *# end of NAME\n)`, "NAME", part.name))
		found := mark.FindSubmatchIndex(text)
		require.NotNil(t, found, "%s has no part %q", part.file, part.name)
		if *update {
			text = slices.Concat(text[:found[3]], []byte(part.text), text[found[6]:])
			require.NoError(t, os.WriteFile(file, text, 0o644))
		} else {
			assert.Equal(t, part.text, string(text[found[4]:found[5]]), "%s, %s: %s", part.file, part.name, again)
		}
	}
	for file, n := range parts {
		text, err := os.ReadFile(filepath.Join(root, file))
		require.NoError(t, err)
		marks := strings.Count(string(text), "written by TestDeploymentsFollowTheTopology")
		assert.Equal(t, n, marks, "%s has a part that nothing writes", file)
	}
}

// TestAnImageHasTheModulesThatItsProgramNeeds copies what the Dockerfile copies first, and resolves the modules of leftfold there.
func TestAnImageHasTheModulesThatItsProgramNeeds(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "deploy/Dockerfile"))
	require.NoError(t, err)
	first, _, found := strings.Cut(string(text), "\nRUN go work use -r . && go -C services/leftfold mod download\n")
	require.True(t, found, "the Dockerfile resolves modules in another way")
	image := t.TempDir()
	for _, line := range regexp.MustCompile(`(?m)^COPY (.+) (\S+)$`).FindAllStringSubmatch(first, -1) {
		folder := filepath.Join(image, line[2])
		require.NoError(t, os.MkdirAll(folder, 0o700))
		for file := range strings.FieldsSeq(line[1]) {
			copied, err := os.ReadFile(filepath.Join(root, file))
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(folder, filepath.Base(file)), copied, 0o600))
		}
	}
	for _, args := range [][]string{{"work", "use", "-r", "."}, {"-C", "services/leftfold", "list", "-m", "all"}} {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir, cmd.Env = image, append(os.Environ(), "GOWORK=", "PWD="+image)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "go %s: %s", strings.Join(args, " "), out)
	}
}

const consumersFile = "deploy/terraform/modules/consumers.json"

// terraformConsumers returns, by service, what the Terraform needs to know of each consumer of the log.
func terraformConsumers(t *testing.T) []byte {
	t.Helper()
	var named, variables topology.Names
	require.NoError(t, service.LoadConfig(service.Fixed(nil), &named))
	const end = ".fifo" // a queue's name needs it
	require.NoError(t, service.LoadConfig(func(variable string) (string, bool) { return variable + end, true }, &variables))
	type resource struct {
		Name     string `json:"name"`
		Variable string `json:"variable"`
	}
	type consumer struct {
		Name      string   `json:"name"`
		ReadModel bool     `json:"read_model"`
		Paths     []string `json:"paths"`
		Priority  int      `json:"priority"` // of the load balancer's rule: a new one is the last
		Queue     resource `json:"queue"`
		Table     resource `json:"table"`
	}
	all := map[string]consumer{}
	for i, c := range named.Consumers() {
		by := variables.Consumers()[i]
		all[c.Service] = consumer{
			Name: c.Name, Paths: []string{topology.RetirementPath}, Priority: 5, Table: resource{c.Table, strings.TrimSuffix(by.Table, end)},
			Queue: resource{strings.TrimSuffix(c.Queue, end), strings.TrimSuffix(by.Queue, end)},
		}
	}
	for i, p := range named.Projections() {
		c := all[p.Service]
		c.ReadModel, c.Paths, c.Priority = true, []string{"/" + p.Collection, "/" + p.Collection + "/*"}, 10*(i+1)
		all[p.Service] = c
	}
	text, err := json.MarshalIndent(all, "", "  ")
	require.NoError(t, err)
	return append(text, '\n')
}

// part is what stands in a file between two comments.
type part struct{ file, name, text string }

// deployed returns all parts.
func deployed(t *testing.T) []part {
	t.Helper()
	asked := processes.ServiceNames()
	services := append(slices.Clone(asked), topology.Console) // which asks them
	programs := append(slices.Clone(services), "leftfold")
	modules := slices.Sorted(slices.Values(programs))
	others := slices.Sorted(slices.Values(services))
	lines := func(of []string, line func(string) string) string {
		var out strings.Builder
		for _, one := range of {
			out.WriteString(line(one) + "\n")
		}
		return out.String()
	}
	var consumers, categories []string
	for _, c := range (topology.Names{}).Consumers() {
		consumers = append(consumers, c.Service)
	}
	read := func(paths, service string) string {
		return fmt.Sprintf("        %-40s %s;\n", `"~^(GET|HEAD):`+paths+`"`, service)
	}
	reads := read(strings.ReplaceAll(topology.RetirementPath, "*", "[^/]+")+"$", topology.Processor)
	for _, p := range (topology.Names{}).Projections() {
		reads += read("/"+p.Collection+"(/|$)", p.Service)
	}
	for _, a := range aggregates.All() {
		if strings.HasPrefix(a.Category, "org/iam/") { // it has a package of the domain
			categories = append(categories, path.Base(a.Category))
		}
	}
	const compose, ours = "docker-compose.yml", "github.com/leftfold/leftfold/"
	return []part{
		{compose, "admin hosts", "  ADMIN_HOSTS: " + strings.Join(services, ",") + " # names in this network\n"},
		{compose, "consumers", strings.TrimPrefix(lines(consumers, func(name string) string {
			return strings.ReplaceAll(`
  NAME:
    <<: *service
    build: {<<: *build, args: {<<: *arguments, SERVICE: NAME}}
    image: leftfold/NAME:${VERSION:-dev}`, "NAME", name)
		}), "\n")},
		{compose, "asked", "      ADMIN_URLS: http://" + strings.Join(asked, ":9090,http://") + ":9090\n"},
		{compose, "services", "    depends_on: [" + strings.Join(services, ", ") + "]\n"},
		{"deploy/verify-images", "services", "for service in " + strings.Join(programs, " ") + "; do\n"},
		{"deploy/compose/edge-healthy", "services", "for service in " + strings.Join(services, " ") + "; do\n"},
		{"deploy/compose/nginx.conf", "reads", reads},
		{"deploy/compose/prometheus/prometheus.yml", "services", "      - names: [" + strings.Join(services, ", ") + "]\n"},
		{"deploy/compose/prometheus/alerts.yml", "services", `        expr: >-
          max by (service) (up{job="leftfold"}) == 0
` + lines(services, func(name string) string { return `          or absent(up{job="leftfold",service="` + name + `"})` })},
		{"deploy/Dockerfile", "modules", lines(modules, func(name string) string {
			return strings.ReplaceAll("COPY services/NAME/go.mod services/NAME/go.sum services/NAME/", "NAME", name)
		})},
		{".github/workflows/release.yml", "services", "        service: [" + strings.Join(programs, ", ") + "]\n"},
		{".golangci.yml", "aggregates", lines(categories, func(name string) string {
			rule := "        " + name + "-aggregate: # aggregates know each other by ID only\n" +
				`          files: ["**/pkg/domain/` + name + `/*.go"]` + "\n          deny:"
			for _, other := range categories {
				if other != name {
					rule += "\n            - {pkg: " + ours + "pkg/domain/" + other + "$, desc: aggregates refer to each other by ID}"
				}
			}
			return rule
		})},
		{".golangci.yml", "services", lines(others, func(name string) string {
			return strings.ReplaceAll(`        service-NAME: # services never import each other
          files: ["**/services/NAME/**/*.go"]
          allow: [`+ours+`services/NAME]
          deny: [{pkg: `+ours+`services, desc: services meet in AWS and not in code}]
          list-mode: lax`, "NAME", name)
		})},
	}
}
