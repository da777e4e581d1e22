package scaffold

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// Aggregate is what is to be made.
type Aggregate struct {
	// Name is one word in the singular, such as "group".
	Name string
	// Plural names the collection in the API. Defaults to the English plural.
	Plural string

	module string
}

// words are what the templates say.
type words struct {
	Module, Name, Names, Type, Types, UPPER, UPPERS, ExampleID string
}

func (a Aggregate) words() words {
	names := a.plural()
	return words{
		Module: a.module, Name: a.Name, Names: names, Type: capitalised(a.Name), Types: capitalised(names),
		UPPER: strings.ToUpper(a.Name), UPPERS: strings.ToUpper(names),
		// The same for the same name.
		ExampleID: uuid.NewSHA1(uuid.NameSpaceURL, []byte("leftfold/"+a.Name)).String(),
	}
}

func capitalised(word string) string { return strings.ToUpper(word[:1]) + word[1:] }

func (a Aggregate) plural() string {
	name := a.Name
	switch {
	case a.Plural != "":
		return a.Plural
	case regexp.MustCompile(`[^aeiou]y$`).MatchString(name):
		return name[:len(name)-1] + "ies"
	case regexp.MustCompile(`(s|x|z|ch|sh)$`).MatchString(name):
		return name + "es"
	default:
		return name + "s"
	}
}

// word is what can be a Go package, a variable of the environment, the name of a load balancer's target group, and a path.
var word = regexp.MustCompile(`^[a-z][a-z0-9]{1,19}$`) // read only

// check refuses names that cannot be used in this clone.
func (a Aggregate) check(root string) error {
	for _, name := range []string{a.Name, a.plural()} {
		if !word.MatchString(name) {
			return fmt.Errorf("%q: want one word of 2 to 20 letters a-z and digits, such as group", name)
		}
		if token.IsKeyword(name) || types.Universe.Lookup(name) != nil {
			return fmt.Errorf("%q is a word of Go: choose another name", name)
		}
	}
	if a.Name == a.plural() {
		return fmt.Errorf("%q is its own plural: name one by --plural", a.Name)
	}
	for _, at := range []string{"pkg/domain/" + a.Name, "services/projector-" + a.Name} {
		if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(at))); err == nil {
			return fmt.Errorf("%s exists already: choose another name", at)
		}
	}
	taken, err := a.taken(root)
	if err != nil {
		return err
	}
	for _, name := range []string{a.Name, a.plural()} {
		if why := taken[name]; why != "" {
			return fmt.Errorf("%q is taken: %s; choose another name", name, why)
		}
	}
	return nil
}

// taken returns the names that would mean two things, and what they mean already: paths of the API, what the new code names, and the
// packages beside which the new one is imported.
func (a Aggregate) taken(root string) (map[string]string, error) {
	out := map[string]string{}
	for _, served := range []string{"docs", "problems", "openapi", "healthz", "readyz", "metrics", "favicon", "projections"} {
		out[served] = "the addresses serve /" + served
	}
	probe := Aggregate{Name: "zqxj", Plural: "zqxjs", module: a.module}
	files, err := probe.files()
	if err != nil {
		return nil, err
	}
	for _, e := range probe.places() {
		if strings.HasSuffix(e.path, ".go") {
			text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(e.path))) //nolint:gosec // a file of the clone
			if err != nil {
				return nil, err
			}
			files = append(files, File{Path: e.path, Text: text})
		}
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Path, ".go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), f.Path, f.Text, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, i := range parsed.Imports {
			imported, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return nil, err
			}
			if _, existing := out[path.Base(imported)]; !existing {
				out[path.Base(imported)] = path.Base(f.Path) + " imports " + imported
			}
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok {
				out[id.Name] = cmp.Or(out[id.Name], path.Base(f.Path)+" has it as a name")
			}
			return true
		})
	}
	return out, nil
}

// update returns the commands for what tests write.
func (a Aggregate) update() [][]string {
	test := func(of, run, flag string) []string { return []string{"go", "test", "-count=1", of, "-run", run, flag} }
	return [][]string{
		test("./pkg/domain/"+a.Name, "TestAChangedFoldNeedsANewShape", "-update-snapshots"),
		test("./pkg/iam/problems", "TestTheDocsListEveryProblem", "-update"),
		test("./docs/eventdocs", "Current$", "-update"),
		test("./test/e2e", "TestDeploymentsFollowTheTopology|TestEnvExample|TestEveryOperationDeclaresItsScopes", "-update"),
		test("./test/e2e", "TestMetricsAreDocumented|TestAlertsAreDocumented", "-update"), // reads what the one before writes
	}
}

// Summary says what to do next.
func (a Aggregate) Summary() string {
	w := a.words()
	return fmt.Sprintf(`The rules are in pkg/domain/%[1]s: begin there. docs/add-an-aggregate.md walks through the rest.

  go test ./pkg/domain/%[1]s
  go test ./test/e2e -run Test%[2]s
  make run     # then: curl localhost:8080/%[3]s
`, w.Name, w.Types, w.Names)
}

// Names of the new files and the changed ones.
func (p *Plan) Names() (added, changed []string) {
	for _, f := range p.Files {
		if f.New {
			added = append(added, f.Path)
		} else {
			changed = append(changed, f.Path)
		}
	}
	return slices.Clip(added), changed
}
