package e2e_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/leftfold/leftfold/pkg/engine/progress"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/auth"
	console "github.com/leftfold/leftfold/services/console/app"
	"github.com/leftfold/leftfold/test/e2e/processes"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

const observability = root + "/docs/observability.md"

// metric is a metric of a service.
type metric struct {
	name, help, kind string
	labels, services []string
}

// described records what is registered, so that metrics are known before their first value.
type described struct {
	prometheus.Registerer
	mu         *sync.Mutex
	collectors *[]prometheus.Collector
}

func (d described) Register(c prometheus.Collector) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	*d.collectors = append(*d.collectors, c)
	return d.Registerer.Register(c)
}

func (d described) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		if err := d.Register(c); err != nil {
			panic(err)
		}
	}
}

var (
	descText = regexp.MustCompile(`^Desc\{fqName: ("(?:[^"\\]|\\.)*"), help: ("(?:[^"\\]|\\.)*"), ` +
		`(?:unit: "[^"]*", )?constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)
	labelText = regexp.MustCompile(`([a-z_]+)="((?:[^"\\]|\\.)*)"`)
)

// metrics returns all metrics that the services of a running system register.
func metrics(t *testing.T) []metric {
	t.Helper()
	var mu sync.Mutex
	var collectors []prometheus.Collector
	var registries []prometheus.Gatherer
	a := api{systemtest.New(t, nil, func(p *service.Platform) {
		mu.Lock()
		defer mu.Unlock()
		registries = append(registries, p.Metrics.(prometheus.Gatherer)) //nolint:errcheck,forcetypeassert // a registry, as NewPlatform makes it
		p.Metrics = described{p.Metrics, &mu, &collectors}
	}), t}
	id := a.accept(http.MethodPost, "/users", object{"email": "dan@example.com"}).ID
	userAt(a, id, 1)
	userInRoles(a, id, 1)

	registries = append(registries, wiredConsole(t, func(r *prometheus.Registry) prometheus.Registerer {
		return described{r, &mu, &collectors}
	}))
	for _, s := range a.APIs() {
		guard(t, prometheus.WrapRegistererWithPrefix("leftfold_",
			prometheus.WrapRegistererWith(prometheus.Labels{"service": s.Name}, described{prometheus.NewRegistry(), &mu, &collectors})))
	}

	kinds := map[string]string{}
	for _, r := range registries {
		families, err := r.Gather()
		require.NoError(t, err)
		for _, f := range families {
			kinds[f.GetName()] = strings.ToLower(f.GetType().String())
		}
	}
	byName := map[string]*metric{}
	for _, c := range collectors {
		descs := make(chan *prometheus.Desc)
		go func() {
			defer close(descs)
			c.Describe(descs)
		}()
		for d := range descs {
			add(t, byName, d.String(), kinds)
		}
	}
	return slices.SortedFunc(func(yield func(metric) bool) {
		for _, m := range byName {
			if !yield(*m) {
				return
			}
		}
	}, func(a, b metric) int { return cmp.Compare(a.name, b.name) })
}

// wiredConsole wires the console, with sign-ins, and returns where its metrics are registered.
func wiredConsole(t *testing.T, observe func(*prometheus.Registry) prometheus.Registerer) prometheus.Gatherer {
	t.Helper()
	var cfg console.Config
	require.NoError(t, service.LoadConfig(service.Fixed(map[string]string{
		"OIDC_ISSUER": "https://issuer.example.com", "OIDC_AUDIENCE": "leftfold", "ADMIN_URLS": "http://127.0.0.1:9090",
		"LOGIN_CLIENT_ID": topology.Console, "SESSION_KEYS": strings.Repeat("k", 32), "API_URL": "https://api.example.com",
	}), &cfg))
	registry := prometheus.NewRegistry()
	p := service.Platform{Logger: slog.New(slog.DiscardHandler), Metrics: observe(registry), Loops: &progress.Loops{}, Now: time.Now}
	p = p.For(topology.Console)
	app, err := console.New(t.Context(), cfg, p)
	require.NoError(t, err)
	_, _, err = app.Handler(p)
	require.NoError(t, err)
	return registry
}

// guard registers the metrics of token verification.
func guard(t *testing.T, reg prometheus.Registerer) {
	t.Helper()
	var cfg auth.Config
	env := map[string]string{"OIDC_ISSUER": "https://issuer.example.com", "OIDC_AUDIENCE": "leftfold"}
	require.NoError(t, service.LoadConfig(service.Fixed(env), &cfg))
	_, err := auth.NewGuard(cfg, auth.Options{Now: time.Now, Logger: slog.New(slog.DiscardHandler), Metrics: reg})
	require.NoError(t, err)
}

func add(t *testing.T, byName map[string]*metric, desc string, kinds map[string]string) {
	t.Helper()
	parts := descText.FindStringSubmatch(desc)
	require.NotNil(t, parts, desc)
	name, err := strconv.Unquote(parts[1])
	require.NoError(t, err)
	help, err := strconv.Unquote(parts[2])
	require.NoError(t, err)
	m := byName[name]
	if m == nil {
		m = &metric{name: name, help: help, kind: kinds[name]}
		switch { // without a value so far
		case m.kind == "" && strings.HasSuffix(name, "_total"):
			m.kind = "counter"
		case m.kind == "" && (strings.HasSuffix(name, "_age_seconds") || strings.HasPrefix(name, "leftfold_timers_")):
			m.kind = "gauge"
		}
		byName[name] = m
	}
	var labels []string
	for _, l := range labelText.FindAllStringSubmatch(parts[3], -1) {
		if l[1] == "service" {
			m.services = append(m.services, l[2])
			continue
		}
		labels = append(labels, l[1])
	}
	for l := range strings.SplitSeq(parts[4], ",") {
		if l != "" {
			labels = append(labels, l)
		}
	}
	m.labels = labels
}

// TestMetricsAreDocumented compares the table of docs/observability.md with a running system; -update writes it.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		all := metrics(t)
		order := append(processes.ServiceNames(), topology.Console)
		var table strings.Builder
		table.WriteString("| metric | type | labels | of | meaning |\n|---|---|---|---|---|\n")
		for _, m := range all {
			assert.NotEmpty(t, m.kind, "%s: count it once in the test", m.name)
			slices.SortFunc(m.services, func(a, b string) int { return slices.Index(order, a) - slices.Index(order, b) })
			of := strings.Join(slices.Compact(m.services), ", ")
			if of == strings.Join(order, ", ") {
				of = "all"
			}
			fmt.Fprintf(&table, "| `%s` | %s | %s | %s | %s |\n", m.name, m.kind, strings.Join(m.labels, ", "), of, m.help)
		}
		text := written(t, "metrics", table.String(), "TestMetricsAreDocumented")
		for _, name := range regexp.MustCompile(`\bleftfold_[a-z_]+`).FindAllString(text, -1) {
			known := slices.ContainsFunc(all, func(m metric) bool { return m.name == name || slices.Contains(m.series(), name) })
			assert.True(t, known, "there is no metric %s", name)
		}
	})
}

// TestLogFieldsAreDocumented finds every key that code logs.
func TestLogFieldsAreDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(observability)
	require.NoError(t, err)
	keys := map[string]string{}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") ||
			strings.Contains(path, "/deploy/") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) < 2 {
				return true
			}
			if f, ok := call.Fun.(*ast.SelectorExpr); !ok || fmt.Sprint(f.X) != "slog" {
				return true
			}
			if key, ok := call.Args[0].(*ast.BasicLit); ok && key.Kind == token.STRING {
				keys[strings.Trim(key.Value, `"`)] = path
			}
			return true
		})
		return nil
	})
	require.NoError(t, err)
	require.Greater(t, len(keys), 20)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if !strings.Contains(string(text), "`"+key+"`") {
			t.Errorf("%s does not explain the log's key %s of %s", observability, key, keys[key])
		}
	}
}

const compose = root + "/deploy/compose/"

// external is what Prometheus itself adds about a service, with the labels in use.
var external = map[string][]string{
	"up": {"job", "service", "instance"}, "ALERTS": {"alertname", "alertstate"},
	"process_cpu_seconds_total": {"service", "instance"}, "process_resident_memory_bytes": {"service", "instance"},
	"go_goroutines": {"service", "instance"},
}

var (
	quoted    = regexp.MustCompile(`"[^"]*"`)
	ranges    = regexp.MustCompile(`\[[^\]]*\]`)
	grouping  = regexp.MustCompile(`\b(?:by|without|on|ignoring|group_left|group_right) \(([^)]*)\)`)
	braces    = regexp.MustCompile(`\{([^}]*)\}`)
	matched   = regexp.MustCompile(`([a-z_]+)\s*(?:=~|!~|!=|=)`)
	words     = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*`)
	functions = strings.Fields("histogram_quantile sum max count rate increase round absent vector or and unless")
)

// checkQuery checks that a query uses metrics that exist, and labels that one of its metrics has.
func checkQuery(t *testing.T, known []metric, where, query string) {
	t.Helper()
	query = quoted.ReplaceAllString(query, `""`)
	var labels []string
	for _, g := range grouping.FindAllStringSubmatch(query, -1) {
		labels = append(labels, words.FindAllString(g[1], -1)...)
	}
	for _, b := range braces.FindAllStringSubmatch(query, -1) {
		for _, m := range matched.FindAllStringSubmatch(b[1], -1) {
			labels = append(labels, m[1])
		}
	}
	plain := ranges.ReplaceAllString(braces.ReplaceAllString(grouping.ReplaceAllString(query, ""), ""), "")
	var has []string
	for _, word := range words.FindAllString(plain, -1) {
		if slices.Contains(functions, word) {
			continue
		}
		if labels, ok := external[word]; ok {
			has = append(has, labels...)
			continue
		}
		i := slices.IndexFunc(known, func(m metric) bool { return slices.Contains(m.series(), word) })
		if assert.GreaterOrEqual(t, i, 0, "%s queries %s, which no service exports", where, word) {
			has = append(append(has, known[i].labels...), "service", "instance", "le")
		}
	}
	assert.NotEmpty(t, has, "%s queries no metric: %s", where, query)
	for _, label := range labels {
		assert.Contains(t, has, label, "%s: no metric of it has the label: %s", where, query)
	}
}

// series returns the names under which Prometheus stores the metric.
func (m metric) series() []string {
	if m.kind == "histogram" {
		return []string{m.name + "_bucket", m.name + "_count", m.name + "_sum"}
	}
	return []string{m.name}
}

// source is a data source in a panel, a target or a provisioning file.
type source struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

// TestDashboardsQueryMetricsThatExist finds panels that would be empty.
func TestDashboardsQueryMetricsThatExist(t *testing.T) {
	t.Parallel()
	known := metrics(t)
	var provisioned struct {
		Datasources []struct {
			source   `yaml:",inline"`
			JSONData struct {
				Exemplars []struct {
					UID string `yaml:"datasourceUid"`
				} `yaml:"exemplarTraceIdDestinations"`
			} `yaml:"jsonData"`
		}
	}
	readYAML(t, compose+"grafana/provisioning/datasources/leftfold.yml", &provisioned)
	var sources []source
	for _, d := range provisioned.Datasources {
		sources = append(sources, d.source)
	}
	for _, d := range provisioned.Datasources {
		for _, e := range d.JSONData.Exemplars {
			assert.True(t, slices.ContainsFunc(sources, func(s source) bool { return s.UID == e.UID }), "exemplars lead to %s", e.UID)
		}
	}

	files, err := filepath.Glob(compose + "grafana/dashboards/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		var dashboard struct {
			Panels []struct {
				ID         int    `json:"id"`
				Type       string `json:"type"`
				Title      string `json:"title"`
				Datasource source `json:"datasource"`
				Targets    []struct {
					RefID      string `json:"refId"`
					Datasource source `json:"datasource"`
					Expr       string `json:"expr"`
				} `json:"targets"`
			} `json:"panels"`
		}
		require.NoError(t, json.Unmarshal(text, &dashboard))
		require.NotEmpty(t, dashboard.Panels)
		ids := map[int]bool{}
		for _, p := range dashboard.Panels {
			assert.False(t, ids[p.ID], "two panels %d", p.ID)
			ids[p.ID] = true
			if p.Type == "row" {
				continue
			}
			assert.Contains(t, sources, p.Datasource, p.Title)
			assert.NotEmpty(t, p.Targets, p.Title)
			for _, q := range p.Targets {
				assert.Equal(t, p.Datasource, q.Datasource, p.Title)
				checkQuery(t, known, p.Title+" "+q.RefID, q.Expr)
			}
		}
	}
}

// TestAlertsAreDocumented compares the alerts of docs/observability.md with those of Prometheus, whose metrics must exist; -update
// writes them.
func TestAlertsAreDocumented(t *testing.T) {
	t.Parallel()
	known := metrics(t)
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr, For string
				Annotations      struct{ Summary string }
			}
		}
	}
	readYAML(t, compose+"prometheus/alerts.yml", &rules)
	var table strings.Builder
	table.WriteString("| alert | PromQL | for | what it means |\n|---|---|---|---|\n")
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			assert.NotEmpty(t, r.Annotations.Summary, r.Alert)
			checkQuery(t, known, r.Alert, r.Expr)
			fmt.Fprintf(&table, "| %s | `%s` | %s | %s |\n", r.Alert, strings.ReplaceAll(r.Expr, "|", `\|`), r.For, r.Annotations.Summary)
		}
	}
	written(t, "alerts", table.String(), "TestAlertsAreDocumented")
}

func readYAML(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, into))
}

// written compares the part of docs/observability.md between <!-- name: written by a test --> and <!-- end of name --> with should;
// -update writes it. It returns the whole text.
func written(t *testing.T, name, should, test string) string {
	t.Helper()
	updating.Lock()
	defer updating.Unlock()
	text, err := os.ReadFile(observability)
	require.NoError(t, err)
	before, stands, after := section(t, string(text), name)
	if *update {
		text = []byte(before + should + after)
		require.NoError(t, os.WriteFile(observability, text, 0o644))
	} else {
		assert.Equal(t, should, stands, "run: go test ./test/e2e -run %s -update", test)
	}
	return string(text)
}

// section cuts a text at what a test writes: <!-- name: written by a test --> is the end of before, <!-- end of name --> begins after.
func section(t *testing.T, text, name string) (before, stands, after string) {
	t.Helper()
	begin, end := "<!-- "+name+": written by a test -->\n", "<!-- end of "+name+" -->"
	before, rest, ok := strings.Cut(text, begin)
	require.True(t, ok)
	stands, after, ok = strings.Cut(rest, end)
	require.True(t, ok)
	return before + begin, stands, end + after
}

var updating sync.Mutex // of the one file that two tests write
