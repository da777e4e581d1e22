package eventdocs

import (
	"cmp"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"reflect"
	"strings"
	"time"
)

// Shape is a JSON value as Go's encoding/json reads and writes a type.
type Shape struct {
	Type   string // JSON schema's, or "" for anything
	Format string
	Doc    string  // the first sentence of the comment of the type or of the member
	Items  *Shape  // what an array holds
	Values *Shape  // what each member of an object is, if they have no names of their own
	Fields []Field // an object's members; others may come, and are to be ignored
}

// Field is one member of an object.
type Field struct {
	Name     string
	Optional bool
	Shape
}

// schema requires what is always written, and leaves room for members to come.
func (s Shape) schema() object {
	out, properties := object{}, object{}
	for name, value := range map[string]string{"type": s.Type, "format": s.Format, "description": s.Doc} {
		if value != "" {
			out[name] = value
		}
	}
	if s.Items != nil {
		out["items"] = s.Items.schema()
	}
	if s.Values != nil {
		out["additionalProperties"] = s.Values.schema()
	}
	var required []string
	for _, f := range s.Fields {
		properties[f.Name] = f.schema()
		if !f.Optional {
			required = append(required, f.Name)
		}
	}
	if len(required) > 0 {
		out["required"] = required
	}
	if len(properties) > 0 {
		out["properties"] = properties
	}
	return out
}

// describer knows types by reflection and their comments by their source.
type describer struct {
	repository fs.FS
	formats    map[reflect.Type]string
	parsed     map[string]map[string]string
	err        error
}

func (d *describer) shape(t reflect.Type) (Shape, error) {
	switch t {
	case reflect.TypeFor[json.RawMessage]():
		return Shape{}, nil
	case reflect.TypeFor[time.Time]():
		return Shape{Type: "string", Format: "date-time"}, nil
	}
	doc := d.doc(t)
	switch t.Kind() {
	case reflect.String:
		return Shape{Type: "string", Format: d.formats[t], Doc: doc}, d.err
	case reflect.Bool:
		return Shape{Type: "boolean", Doc: doc}, d.err
	case reflect.Int, reflect.Int64, reflect.Int32, reflect.Uint64, reflect.Uint32:
		return Shape{Type: "integer", Doc: doc}, d.err
	case reflect.Float64:
		return Shape{Type: "number", Doc: doc}, d.err
	case reflect.Map:
		if t.Key().Kind() != reflect.String {
			return Shape{}, fmt.Errorf("%s: keys of kind %s cannot be described", t, t.Key().Kind())
		}
		values, err := d.shape(t.Elem())
		return Shape{Type: "object", Doc: cmp.Or(doc, values.Doc), Values: &values}, err
	case reflect.Slice:
		items, err := d.shape(t.Elem())
		return Shape{Type: "array", Doc: cmp.Or(doc, items.Doc), Items: &items}, err
	case reflect.Struct:
		return d.object(t)
	default:
		return Shape{}, fmt.Errorf("%s: a payload of kind %s cannot be described", t, t.Kind())
	}
}

func (d *describer) object(t reflect.Type) (Shape, error) {
	out := Shape{Type: "object", Doc: d.doc(t)}
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" && (f.Anonymous || len(f.Index) > 1 && !f.IsExported()) {
			continue // it, or what it embeds, makes the type an event, or its fields are visible themselves
		}
		if name == "" || name == "-" || f.Anonymous || !f.IsExported() {
			return out, fmt.Errorf("%s.%s: fields of a payload are exported and have a name in JSON", t, f.Name)
		}
		for _, other := range out.Fields {
			if strings.EqualFold(other.Name, name) { // encoding/json would take one for the other
				return out, fmt.Errorf("%s: %q and %q differ in case only", t, other.Name, name)
			}
		}
		shape, err := d.shape(f.Type)
		if err != nil {
			return out, err
		}
		in := t
		for _, i := range f.Index[:len(f.Index)-1] {
			in = in.Field(i).Type
		}
		shape.Doc = cmp.Or(d.comment(in, in.Name()+"."+f.Name), shape.Doc)
		out.Fields = append(out.Fields, Field{Name: name, Optional: strings.Contains(options, "omit"), Shape: shape})
	}
	return out, d.err
}

// doc returns the first sentence of a type's doc comment without the name that it begins with, or "".
func (d *describer) doc(t reflect.Type) string { return d.comment(t, t.Name()) }

func (d *describer) comment(in reflect.Type, symbol string) string {
	dir, ours := strings.CutPrefix(in.PkgPath(), modulePath)
	if !ours {
		return ""
	}
	if d.parsed[dir] == nil {
		comments, err := comments(d.repository, dir)
		if err != nil {
			d.err = cmp.Or(d.err, fmt.Errorf("read the comments of %s: %w", dir, err))
		}
		if d.parsed == nil {
			d.parsed = map[string]map[string]string{}
		}
		d.parsed[dir] = comments
	}
	return d.parsed[dir][symbol]
}

// comments of a package's types and their fields, by "Type" and "Type.Field".
func comments(repository fs.FS, dir string) (map[string]string, error) {
	out := map[string]string{}
	files, err := fs.Glob(repository, path.Join(dir, "*.go"))
	if err != nil {
		return out, err
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		source, err := fs.ReadFile(repository, name)
		if err != nil {
			return out, err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return out, err
		}
		for _, decl := range file.Decls {
			if types, ok := decl.(*ast.GenDecl); ok && types.Tok == token.TYPE {
				commentsOf(types, out)
			}
		}
	}
	return out, nil
}

func commentsOf(types *ast.GenDecl, out map[string]string) {
	for _, spec := range types.Specs {
		t, ok := spec.(*ast.TypeSpec)
		if !ok {
			continue
		}
		out[t.Name.Name] = sentence(cmp.Or(t.Doc, types.Doc), t.Name.Name)
		if object, ok := t.Type.(*ast.StructType); ok {
			for _, f := range object.Fields.List {
				for _, name := range f.Names {
					out[t.Name.Name+"."+name.Name] = sentence(f.Doc, name.Name)
				}
			}
		}
	}
}

// sentence returns a comment's first, without its subject: "Email is an address." becomes "an address".
func sentence(doc *ast.CommentGroup, subject string) string {
	text := strings.Join(strings.Fields(doc.Text()), " ")
	text, _, _ = strings.Cut(strings.TrimSuffix(text, "."), ". ")
	text = strings.TrimPrefix(text, subject+" ")
	return strings.TrimPrefix(text, "is ")
}
