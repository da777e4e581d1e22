package rest_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

const root = "../../../.." // of the repository

// catalogue is what docs/problems.md says: the status of each code.
func catalogue(t *testing.T) map[string]int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", "problems.md"))
	require.NoError(t, err)
	out := map[string]int{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (\\d+) \\| .+ \\| .+ \\|$").FindAllStringSubmatch(string(text), -1) {
		assert.NotContains(t, out, row[1], "listed twice")
		out[row[1]], err = strconv.Atoi(row[2])
		require.NoError(t, err)
	}
	return out
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
					if slices.Contains([]string{"httpapi", "rest"}, file.Name.Name) && len(n.Values) == 1 && strings.HasPrefix(n.Names[0].Name, "Code") {
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
	"Invalid": eventsourcing.Invalid, "NotFound": eventsourcing.NotFound, "Denied": eventsourcing.Denied,
}

// addLiteral adds the code of an eventsourcing.Refusal, or the one that losing an eventsourcing.Claim has.
func addLiteral(out map[string]int, lit *ast.CompositeLit) {
	fields := map[string]ast.Expr{}
	for _, e := range lit.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			if key, ok := kv.Key.(*ast.Ident); ok {
				fields[key.Name] = kv.Value
			}
		}
	}
	if kind, ok := fields["Kind"].(*ast.SelectorExpr); ok && fields["Code"] != nil {
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

func TestTheCatalogueOfProblemsIsComplete(t *testing.T) {
	t.Parallel()
	listed, known := catalogue(t), codes(t)
	for _, code := range []string{"malformed", "email_taken", "name_taken", "user_disabled", "role_exists", "invalid_id", "not_yet", "precondition_failed"} {
		assert.Contains(t, known, code, "the search of the source has gone blind")
	}
	for code, status := range known {
		assert.Contains(t, listed, code, "docs/problems.md lacks it")
		if status != 0 {
			assert.Equal(t, status, listed[code], "docs/problems.md has another status for %s", code)
		}
	}
	for code := range listed {
		assert.Contains(t, known, code, "docs/problems.md lists what nothing answers")
	}
}
