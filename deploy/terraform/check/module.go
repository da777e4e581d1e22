package check

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// Block is a block with its values: a resource, or one within it.
type Block struct {
	Attributes map[string]cty.Value
	Blocks     map[string][]Block
	// Postconditions are those of a resource's lifecycle.
	Postconditions []Condition
}

// Condition reports whether a resource with these attributes, as AWS has them once they are applied, is as it must be; else why not.
type Condition func(self map[string]cty.Value) (met bool, message string, err error)

// Text returns the text of an attribute, "" if it is missing or null.
func (b Block) Text(name string) string {
	if v, ok := b.Attributes[name]; ok && !v.IsNull() && v.Type() == cty.String {
		return v.AsString()
	}
	return ""
}

// Module is an evaluated Terraform module.
type Module struct {
	// Outputs and Locals are those that could be evaluated.
	Outputs, Locals map[string]cty.Value
	// Resources and Data are by type, name and key; the key is "" where there is only one, and an index where they are counted.
	Resources, Data map[string]map[string]map[string]Block
	// Blind holds the errors of what could not be evaluated, mostly because it depends on AWS or on another module.
	Blind map[string]error

	folder    string
	variables map[string]cty.Value
	modules   cty.Value
	counted   map[string]bool // by type and name
	// known returns attributes of resources and data that only AWS sets.
	known func(kind, name, key string, b Block) map[string]cty.Value
}

// Evaluate reads and evaluates the *.tf files of a folder, with the defaults of variables that are not in vars, and with known for
// attributes that only AWS sets. The value "module" of vars is the outputs of the modules that the folder calls.
func Evaluate(folder string, vars map[string]cty.Value, known func(kind, name, key string, b Block) map[string]cty.Value) (*Module, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.tf"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("read %s: no *.tf files: %w", folder, err)
	}
	m := &Module{
		Outputs: map[string]cty.Value{}, Locals: map[string]cty.Value{}, Blind: map[string]error{},
		folder: folder, variables: map[string]cty.Value{}, modules: vars["module"], counted: map[string]bool{}, known: known,
		Resources: map[string]map[string]map[string]Block{}, Data: map[string]map[string]map[string]Block{},
	}
	todo := map[string]func() error{}
	parser := hclparse.NewParser()
	for _, file := range files {
		parsed, diags := parser.ParseHCLFile(file)
		if diags.HasErrors() {
			return nil, fmt.Errorf("parse %s: %w", file, diags)
		}
		body, ok := parsed.Body.(*hclsyntax.Body)
		if !ok {
			return nil, fmt.Errorf("parse %s: not in HCL's own syntax", file)
		}
		for _, block := range body.Blocks {
			m.plan(block, vars, todo)
		}
	}
	m.work(todo)
	return m, nil
}

// plan adds the values of a block that are to be evaluated.
func (m *Module) plan(block *hclsyntax.Block, vars map[string]cty.Value, todo map[string]func() error) {
	switch block.Type {
	case "variable":
		todo["var."+block.Labels[0]] = func() error {
			if v, ok := vars[block.Labels[0]]; ok {
				m.variables[block.Labels[0]] = v
				return nil
			}
			fallback, ok := block.Body.Attributes["default"]
			if !ok {
				return errors.New("no value and no default")
			}
			return into(m.variables, block.Labels[0], fallback.Expr, m.context(nil))
		}
	case "locals":
		for name, attr := range block.Body.Attributes {
			todo["local."+name] = func() error { return into(m.Locals, name, attr.Expr, m.context(nil)) }
		}
	case "output":
		todo["output."+block.Labels[0]] = func() error {
			return into(m.Outputs, block.Labels[0], block.Body.Attributes["value"].Expr, m.context(nil))
		}
	case "resource", "data":
		kind, name := block.Labels[0], block.Labels[1]
		todo[block.Type+"."+kind+"."+name] = func() error {
			all := m.Resources
			if block.Type == "data" {
				all = m.Data
			}
			instances, err := m.instances(block, kind, name)
			if err != nil {
				return err
			}
			if all[kind] == nil {
				all[kind] = map[string]map[string]Block{}
			}
			all[kind][name] = instances
			return nil
		}
	}
}

// work evaluates what it can until nothing more can be evaluated.
func (m *Module) work(todo map[string]func() error) {
	for before := len(todo) + 1; len(todo) < before; {
		before = len(todo)
		for _, name := range slices.Sorted(maps.Keys(todo)) {
			if err := todo[name](); err != nil {
				m.Blind[name] = err
				continue
			}
			delete(todo, name)
			delete(m.Blind, name)
		}
	}
}

func into(values map[string]cty.Value, name string, expr hcl.Expression, ctx *hcl.EvalContext) error {
	v, diags := expr.Value(ctx)
	if diags.HasErrors() {
		return diags
	}
	values[name] = v
	return nil
}

// instances returns a resource's blocks by the keys of its for_each, or "".
func (m *Module) instances(block *hclsyntax.Block, kind, name string) (map[string]Block, error) {
	out := map[string]Block{}
	add := func(key string, ctx *hcl.EvalContext) error {
		b, err := evaluate(block.Body, ctx)
		if err != nil {
			return err
		}
		for attribute, v := range m.known(kind, name, key, b) {
			if _, set := b.Attributes[attribute]; !set {
				b.Attributes[attribute] = v
			}
		}
		b.Postconditions = m.postconditions(block.Body)
		out[key] = b
		return nil
	}
	if count, counted := block.Body.Attributes["count"]; counted {
		n, diags := count.Expr.Value(m.context(nil))
		if diags.HasErrors() {
			return nil, diags
		}
		m.counted[kind+"."+name] = true
		for i := range int(float(n)) {
			if err := add(strconv.Itoa(i), m.context(nil)); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	each, many := block.Body.Attributes["for_each"]
	if !many {
		return out, add("", m.context(nil))
	}
	set, diags := each.Expr.Value(m.context(nil))
	if diags.HasErrors() {
		return nil, diags
	}
	for it := set.ElementIterator(); it.Next(); {
		key, value := it.Element()
		if set.Type().IsSetType() {
			key = value
		}
		pair := cty.ObjectVal(map[string]cty.Value{"key": key, "value": value})
		if err := add(key.AsString(), m.context(map[string]cty.Value{"each": pair})); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (m *Module) postconditions(resource *hclsyntax.Body) (out []Condition) {
	for _, lifecycle := range resource.Blocks {
		if lifecycle.Type != "lifecycle" {
			continue
		}
		for _, block := range lifecycle.Body.Blocks {
			if block.Type != "postcondition" {
				continue
			}
			out = append(out, func(self map[string]cty.Value) (bool, string, error) {
				ctx := m.context(map[string]cty.Value{"self": cty.ObjectVal(self)})
				b, err := evaluate(block.Body, ctx)
				if err != nil {
					return false, "", err
				}
				return b.Attributes["condition"].True(), b.Text("error_message"), nil
			})
		}
	}
	return out
}

// notValues are meta-arguments.
var notValues = []string{"for_each", "count", "depends_on", "provider"} //nolint:gochecknoglobals // read only

func evaluate(body *hclsyntax.Body, ctx *hcl.EvalContext) (Block, error) {
	b := Block{Attributes: map[string]cty.Value{}, Blocks: map[string][]Block{}}
	for name, attr := range body.Attributes {
		if slices.Contains(notValues, name) {
			continue
		}
		if err := into(b.Attributes, name, attr.Expr, ctx); err != nil {
			return Block{}, err
		}
	}
	for _, inner := range body.Blocks {
		if inner.Type == "lifecycle" {
			continue
		}
		if inner.Type != "dynamic" {
			one, err := evaluate(inner.Body, ctx)
			if err != nil {
				return Block{}, err
			}
			b.Blocks[inner.Type] = append(b.Blocks[inner.Type], one)
			continue
		}
		set, diags := inner.Body.Attributes["for_each"].Expr.Value(ctx)
		if diags.HasErrors() {
			return Block{}, diags
		}
		label := inner.Labels[0]
		for it := set.ElementIterator(); it.Next(); {
			key, value := it.Element()
			within := ctx.NewChild()
			within.Variables = map[string]cty.Value{label: cty.ObjectVal(map[string]cty.Value{"key": key, "value": value})}
			one, err := evaluate(inner.Body.Blocks[0].Body, within)
			if err != nil {
				return Block{}, err
			}
			b.Blocks[label] = append(b.Blocks[label], one)
		}
	}
	return b, nil
}

// context returns the values that have been evaluated so far.
func (m *Module) context(more map[string]cty.Value) *hcl.EvalContext {
	variables := map[string]cty.Value{
		"var": cty.ObjectVal(m.variables), "local": cty.ObjectVal(m.Locals), "data": cty.ObjectVal(m.byKind(m.Data)),
		"path": cty.ObjectVal(map[string]cty.Value{"module": cty.StringVal(m.folder)}),
	}
	if m.modules != cty.NilVal {
		variables["module"] = m.modules
	}
	maps.Copy(variables, m.byKind(m.Resources))
	maps.Copy(variables, more)
	return &hcl.EvalContext{Variables: variables, Functions: functions()}
}

func (m *Module) byKind(all map[string]map[string]map[string]Block) map[string]cty.Value {
	out := map[string]cty.Value{}
	for kind, names := range all {
		of := map[string]cty.Value{}
		for name, instances := range names {
			if m.counted[kind+"."+name] {
				var indexed []cty.Value
				for i := range len(instances) {
					indexed = append(indexed, cty.ObjectVal(instances[strconv.Itoa(i)].Attributes))
				}
				of[name] = cty.TupleVal(indexed)
				continue
			}
			if one, single := instances[""]; single {
				of[name] = cty.ObjectVal(one.Attributes)
				continue
			}
			keyed := map[string]cty.Value{}
			for key, b := range instances {
				keyed[key] = cty.ObjectVal(b.Attributes)
			}
			of[name] = cty.ObjectVal(keyed)
		}
		out[kind] = cty.ObjectVal(of)
	}
	return out
}
