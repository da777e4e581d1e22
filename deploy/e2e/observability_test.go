package e2e_test

import (
	"cmp"
	"context"
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
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/deploy/e2e/systemtest"
	"github.com/leftfold/leftfold/pkg/auth"
	"github.com/leftfold/leftfold/pkg/process"
)

const observability = root + "/docs/observability.md"

// metric is one that a service reports.
type metric struct {
	name, help, kind string
	labels, services []string
}

// described keeps what is registered, so that metrics are known before they first count.
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
	descText  = regexp.MustCompile(`^Desc\{fqName: ("(?:[^"\\]|\\.)*"), help: ("(?:[^"\\]|\\.)*"), (?:unit: "[^"]*", )?constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)
	labelText = regexp.MustCompile(`([a-z_]+)="((?:[^"\\]|\\.)*)"`)
)

// metrics are all that the services of a running system register.
func metrics(t *testing.T) []metric {
	t.Helper()
	var mu sync.Mutex
	var collectors []prometheus.Collector
	var registries []prometheus.Gatherer
	a := api{systemtest.New(t, nil, func(p *process.Platform) {
		mu.Lock()
		defer mu.Unlock()
		registries = append(registries, p.Metrics.(prometheus.Gatherer)) //nolint:errcheck,forcetypeassert // a registry, as NewPlatform makes it
		p.Metrics = described{p.Metrics, &mu, &collectors}
	}), t}
	id := a.accept(http.MethodPost, "/users", object{"email": "dan@example.com"}).ID
	userAt(a, id, 1)
	userInRoles(a, id, 1)

	for _, s := range []*systemtest.Service{a.CommandAPI, a.ProjectorUser, a.ProjectorRole} {
		guard(t, prometheus.WrapRegistererWith(prometheus.Labels{"service": s.Name}, described{prometheus.NewRegistry(), &mu, &collectors}))
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

// guard registers what asking for tokens adds.
func guard(t *testing.T, reg prometheus.Registerer) {
	t.Helper()
	var cfg auth.Config
	require.NoError(t, process.LoadConfig(t.Context(), func(name string) (string, bool) {
		value, ok := map[string]string{"OIDC_ISSUER": "https://issuer.example.com", "OIDC_AUDIENCE": "leftfold"}[name]
		return value, ok
	}, &cfg))
	ctx, stop := context.WithCancel(t.Context())
	stop() // it asks the issuer for nothing
	_, err := auth.New(ctx, cfg, auth.Options{Now: time.Now, Log: slog.New(slog.DiscardHandler), Metrics: reg})
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
		if m.kind == "" && strings.HasSuffix(name, "_total") {
			m.kind = "counter" // of which nothing is counted yet
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

// TestMetricsAreDocumented keeps the table of docs/observability.md what a running system says: -update writes it.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	all := metrics(t)
	order := systemtest.ServiceNames()
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
	text, err := os.ReadFile(observability)
	require.NoError(t, err)
	const begin, end = "<!-- metrics: written by a test -->\n", "<!-- end of metrics -->"
	before, rest, ok := strings.Cut(string(text), begin)
	require.True(t, ok)
	stands, after, ok := strings.Cut(rest, end)
	require.True(t, ok)
	if *update {
		require.NoError(t, os.WriteFile(observability, []byte(before+begin+table.String()+end+after), 0o644))
		return
	}
	assert.Equal(t, table.String(), stands, "run: go test ./deploy/e2e -run TestMetricsAreDocumented -update")
	for _, name := range regexp.MustCompile(`\bleftfold_[a-z_]+`).FindAllString(string(text), -1) {
		known := slices.ContainsFunc(all, func(m metric) bool {
			rest, ok := strings.CutPrefix(name, m.name)
			return ok && slices.Contains([]string{"", "_bucket", "_count", "_sum"}, rest)
		})
		assert.True(t, known, "there is no metric %s", name)
	}
}

// TestLogFieldsAreDocumented finds every key that code logs.
func TestLogFieldsAreDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(observability)
	require.NoError(t, err)
	keys := map[string]string{}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "/deploy/") {
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
