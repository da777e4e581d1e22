package scaffold

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
)

// place is where a line is added to a file: before the first line that is end, after one that begins with begin.
type place struct{ path, begin, end, line string }

// places are all of them. Each is the end of a list, so that a second aggregate finds it too.
func (a Aggregate) places() []place {
	w := a.words()
	imports := func(path string, line string) place { return place{path, "import (", ")", line} }
	domain := `	"` + w.Module + `/pkg/domain/` + w.Name + `"`
	const (
		topology = "pkg/iam/topology/topology.go"
		trail    = "pkg/iam/topology/audit.go"
		list     = "pkg/iam/aggregates/aggregates.go"
		problems = "pkg/iam/problems/problems.go"
		commands = "services/command-api/internal/commands/aggregates.go"
		services = "services/leftfold/app/services.go"
		catalog  = "docs/eventdocs/eventdocs.go"
	)
	return []place{
		{topology, "type TableNames struct {", "}", "	" + w.Type + "TableName"},
		{topology, "type QueueNames struct {", "}", "	" + w.Type + "QueueName"},
		{topology, "func (n Names) Projections() []Projection {", "	}", "		n." + w.Names + "(),"},
		imports(trail, domain),
		{trail, "			Categories: []string{", "			},", "				" + w.Name + ".Category,"},
		imports(list, domain),
		{list, "func All() []Aggregate {", "	}", "		newAggregate(" + w.Name + ".Aggregate()),"},
		imports(problems, domain),
		{
			problems, "		Refusals: []*eventsourcing.Refusal{", "			ErrKeyReused, ErrStillParked, ErrStepNotPossible,",
			fmt.Sprintf("			%[1]s.ErrInvalidName, %[1]s.ErrNotFound, %[1]s.ErrExists,", w.Name),
		},
		imports(commands, domain),
		{commands, "type aggregates struct {", "}", fmt.Sprintf("	%s *eventsourcing.Repository[%[2]s.State, %[2]s.Event]", w.Names, w.Name)},
		{commands, "	err = errors.Join(", "	)", "		repository(&a." + w.Names + ", " + w.Name + ".Aggregate(), c, m),"},
		{
			"services/command-api/internal/rest/rest.go", "func Register(", "}",
			fmt.Sprintf(`	register%s(collection{"%s", api, log}, h)`, w.Types, w.Names),
		},
		imports(services, `	projector`+w.Name+` "`+w.Module+`/services/projector-`+w.Name+`/app"`),
		{services, "type Services struct {", "}", fmt.Sprintf("	Projector%s projector%s.Config", w.Type, w.Name)},
		{
			services, "func (c Services) All() []Service {", "	}",
			fmt.Sprintf(`		newService("projector-%[1]s", projector%[1]s.New, c.Projector%[2]s),`, w.Name, w.Type),
		},
		{
			services, "func Shapes() map[string][]generation.Shape {", "	}",
			fmt.Sprintf(`		"%s": projector%s.Shapes(),`, w.Names, w.Name),
		},
		imports(catalog, domain),
		{
			catalog, "	err = errors.Join(", "	)",
			fmt.Sprintf(`		describe[%[1]s.State, %[1]s.Event](d, &c, %[1]s.Aggregate(), %[1]s.Created{Name: "Early shift"},
			"%[2]s", nil),`, w.Name, w.ExampleID),
		},
	}
}

// edits returns the changed files of Go.
func (a Aggregate) edits(root string) (files []File, err error) {
	texts := map[string][]byte{}
	for _, p := range a.places() {
		if texts[p.path] == nil {
			text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(p.path))) //nolint:gosec // a file of the clone
			if err != nil {
				return nil, err
			}
			texts[p.path] = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")) // as git may check out on Windows
		}
		if texts[p.path], err = p.edit(texts[p.path]); err != nil {
			return nil, err
		}
	}
	for path, text := range texts {
		if text, err = formatted(path, text); err != nil {
			return nil, err
		}
		files = append(files, File{Path: path, Text: text})
	}
	return files, nil
}

func (p place) edit(text []byte) ([]byte, error) {
	var out strings.Builder
	begun, done := false, false
	for line := range strings.Lines(string(text)) {
		bare := strings.TrimSuffix(line, "\n")
		if begun && !done && bare == p.end {
			out.WriteString(p.line + "\n")
			done = true
		}
		begun = begun || strings.HasPrefix(bare, p.begin)
		out.WriteString(line)
	}
	if !done {
		return nil, fmt.Errorf("%s has no %q that ends with a line %q: restore them, for that is where this line belongs:\n%s",
			p.path, strings.TrimSpace(p.begin), strings.TrimSpace(p.end), p.line)
	}
	return []byte(out.String()), nil
}

// modules returns the new module's files, and the go.mod of every module that knows the other projectors, and go.work.
func (a Aggregate) modules(root string) (files []File, err error) {
	const sibling = "services/projector-role"
	own, other := a.module+"/services/projector-"+a.Name, a.module+"/"+sibling
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(sibling), name)) //nolint:gosec // a file of the clone
		if err != nil {
			return nil, err
		}
		text = bytes.Replace(text, []byte("module "+other), []byte("module "+own), 1)
		files = append(files, File{Path: "services/projector-" + a.Name + "/" + name, Text: text, New: true})
	}
	work, err := os.ReadFile(filepath.Join(root, "go.work")) //nolint:gosec // a file of the clone
	if err != nil {
		return nil, err
	}
	workspace, err := modfile.ParseWork("go.work", work, nil)
	if err != nil {
		return nil, err
	}
	for _, use := range workspace.Use {
		folder := strings.TrimPrefix(use.Path, "./")
		changed, err := a.requireIn(root, folder, sibling)
		if err != nil {
			return nil, err
		}
		if changed != nil {
			files = append(files, File{Path: folder + "/go.mod", Text: changed})
		}
	}
	if err := workspace.AddUse("./services/projector-"+a.Name, ""); err != nil {
		return nil, err
	}
	workspace.SortBlocks()
	return append(files, File{Path: "go.work", Text: modfile.Format(workspace.Syntax)}), nil
}

// requireIn returns the go.mod of a folder with the new module beside its sibling, or nil if that knows no sibling. Only the leftfold
// program imports a projector for its name; the others have it through that.
func (a Aggregate) requireIn(root, folder, sibling string) ([]byte, error) {
	path := folder + "/go.mod"
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(path))) //nolint:gosec // a file of the clone
	if err != nil {
		return nil, err
	}
	mod, err := modfile.Parse(path, text, nil)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(mod.Replace, func(r *modfile.Replace) bool { return r.Old.Path == a.module+"/"+sibling })
	if at < 0 {
		return nil, nil
	}
	own := a.module + "/services/projector-" + a.Name
	mod.SetRequireSeparateIndirect(append(mod.Require, &modfile.Require{
		Mod: module.Version{Path: own, Version: "v0.0.0"}, Indirect: folder != "services/leftfold",
	}))
	if err := mod.AddReplace(own, "", strings.TrimSuffix(mod.Replace[at].New.Path, "role")+a.Name, ""); err != nil {
		return nil, err
	}
	mod.SortBlocks()
	return mod.Format()
}
