package problems_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/problems"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

var update = flag.Bool("update", false, "write the table of docs/problems.md")

const root = "../../.." // of the repository

func TestTheDocsListEveryProblem(t *testing.T) {
	t.Parallel()
	const begin, end = "<!-- begin of the table, made by go test ./pkg/iam/problems -update -->\n", "<!-- end of the table -->\n"
	file := filepath.Join(root, "docs", "problems.md")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(text), begin)
	require.True(t, ok, "no begin")
	_, after, ok := strings.Cut(rest, end)
	require.True(t, ok, "no end")

	var out strings.Builder
	out.WriteString("\n| code | status | meaning | what to do |\n|---|---|---|---|\n")
	for _, e := range problems.Info().Problems() {
		fmt.Fprintf(&out, "| `%s` | %d | %s | %s |\n", e.Code, e.Status, e.Meaning, e.Remedy)
	}
	want := before + begin + out.String() + "\n" + end + after
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(want), 0o600))
		return
	}
	assert.Equal(t, want, string(text), "run go test ./pkg/iam/problems -update")
}

func TestEachCodeIsExplainedOnce(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, e := range problems.Info().Problems() {
		assert.False(t, seen[e.Code], e.Code)
		seen[e.Code] = true
		assert.NotEmpty(t, e.Meaning)
		assert.NotEmpty(t, e.Remedy)
		assert.Zero(t, strings.Count(e.Meaning, "`")%2+strings.Count(e.Remedy, "`")%2, "%s: quotes that do not close", e.Code)
	}
}

func TestWhatPassesSaysWhenToTryAgain(t *testing.T) {
	t.Parallel()
	passes := map[string]bool{}
	for _, e := range problems.Info().Problems() {
		passes[e.Code] = e.Transient
	}
	assert.True(t, passes["scope_not_ready"])
	for _, r := range problems.Info().Refusals {
		assert.Equal(t, passes[r.Code], httpapi.ProblemOf(r).GetHeaders().Get("Retry-After") != "", r.Code)
	}
}

func TestExactlyTheRefusalsOfTheSourceAreListed(t *testing.T) {
	t.Parallel()
	listed, known := map[string]int{}, codes(t)
	for _, e := range problems.Info().Problems() {
		listed[e.Code] = e.Status
	}
	for _, code := range []string{
		"malformed", "email_taken", "name_taken", "user_disabled", "role_exists", "invalid_id", "not_yet", "precondition_failed",
	} {
		assert.Contains(t, known, code, "the search of the source finds nothing any more")
	}
	for code, status := range known {
		assert.Contains(t, listed, code, "Info does not list it")
		if status != 0 {
			assert.Equal(t, status, listed[code], "Info has another status for %s", code)
		}
	}
	for code := range listed {
		assert.Contains(t, known, code, "Info lists what nothing answers")
	}
}

// codes are what the source can answer, and the status where it follows from a refusal's kind or a claim.
func codes(t *testing.T) map[string]int {
	t.Helper()
	out := map[string]int{}
	for _, dir := range []string{"pkg", "services"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.ValueSpec:
					if file.Name.Name == "httpapi" && len(n.Values) == 1 && strings.HasPrefix(n.Names[0].Name, "Code") {
						out[text(n.Values[0])] = 0
					}
				case *ast.CompositeLit:
					addLiteral(out, n)
				}
				return true
			})
			return nil
		})
		require.NoError(t, err)
	}
	return out
}

var kinds = map[string]eventsourcing.Kind{
	"Invalid": eventsourcing.Invalid, "NotFound": eventsourcing.NotFound, "FailedPrecondition": eventsourcing.FailedPrecondition,
	"NotReady": eventsourcing.NotReady,
}

// addLiteral adds the code of an eventsourcing.Refusal, or that of the refusal when an eventsourcing.Claim is taken.
func addLiteral(out map[string]int, lit *ast.CompositeLit) {
	fields := map[string]ast.Expr{}
	for _, e := range lit.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			if key, ok := kv.Key.(*ast.Ident); ok {
				fields[key.Name] = kv.Value
			}
		}
	}
	if kind, ok := fields["Kind"].(*ast.SelectorExpr); ok && text(fields["Code"]) != "" {
		refusal := &eventsourcing.Refusal{Kind: kinds[kind.Sel.Name], Code: text(fields["Code"])}
		out[refusal.Code] = httpapi.ProblemOf(refusal).Status
	}
	if name := text(fields["Name"]); fields["Category"] != nil && fields["Value"] != nil && name != "" {
		p := httpapi.ProblemOf(&eventsourcing.ClaimTakenError{Claim: eventsourcing.Claim{Name: name}})
		out[p.Code] = p.Status
	}
}

// text is a string literal's, or "".
func text(e ast.Expr) string {
	lit, ok := e.(*ast.BasicLit)
	if !ok {
		return ""
	}
	s, _ := strconv.Unquote(lit.Value)
	return s
}
