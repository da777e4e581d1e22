package eventdocs

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"reflect"
	"strings"
)

// Shape is a JSON value as Go's encoding/json reads and writes a type.
type Shape struct {
	// Type is JSON schema's, or "" for anything.
	Type   string
	Format string
	// Items is what an array holds.
	Items *Shape
	// Fields are an object's members. Others may come, and are to be ignored.
	Fields []Field
}

// Field is one member of an object.
type Field struct {
	Name     string
	Doc      string
	Optional bool
	Shape    Shape
}

// modulePath begins the path of each package that the described types are in.
const modulePath = "github.com/leftfold/leftfold/"

// describer knows types by reflection and their comments by their source.
type describer struct {
	module  fs.FS
	formats map[reflect.Type]string
	parsed  map[string]map[string]string
	err     error
}

func (d *describer) shape(t reflect.Type) (Shape, error) {
	if t == reflect.TypeFor[json.RawMessage]() {
		return Shape{}, nil
	}
	switch t.Kind() {
	case reflect.String:
		return Shape{Type: "string", Format: d.formats[t]}, nil
	case reflect.Bool:
		return Shape{Type: "boolean"}, nil
	case reflect.Int, reflect.Int64, reflect.Int32, reflect.Uint64, reflect.Uint32:
		return Shape{Type: "integer"}, nil
	case reflect.Float64:
		return Shape{Type: "number"}, nil
	case reflect.Slice:
		items, err := d.shape(t.Elem())
		return Shape{Type: "array", Items: &items}, err
	case reflect.Struct:
		return d.object(t)
	default:
		return Shape{}, fmt.Errorf("%s: a payload of kind %s cannot be described", t, t.Kind())
	}
}

func (d *describer) object(t reflect.Type) (Shape, error) {
	out := Shape{Type: "object"}
	for _, f := range reflect.VisibleFields(t) {
		if f.Anonymous && f.Type.NumField() == 0 {
			continue // it makes the type an event and is not part of its JSON
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
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
		doc := d.comment(t, t.Name()+"."+f.Name)
		if doc == "" {
			doc = d.doc(f.Type)
		}
		out.Fields = append(out.Fields, Field{
			Name: name, Doc: doc, Optional: strings.Contains(options, "omit"), Shape: shape,
		})
	}
	return out, d.err
}

// doc returns the first sentence of a type's doc comment without the name that it begins with, or "".
func (d *describer) doc(t reflect.Type) string {
	if t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return d.comment(t, t.Name())
}

func (d *describer) comment(in reflect.Type, symbol string) string {
	if !strings.HasPrefix(in.PkgPath(), modulePath) {
		return ""
	}
	dir := strings.TrimPrefix(in.PkgPath(), modulePath)
	if d.parsed == nil {
		d.parsed = map[string]map[string]string{}
	}
	if d.parsed[dir] == nil {
		comments, err := comments(d.module, dir)
		if err != nil && d.err == nil {
			d.err = fmt.Errorf("read the comments of %s: %w", dir, err)
		}
		d.parsed[dir] = comments
	}
	return d.parsed[dir][symbol]
}

// comments of a package's types and their fields, by "Type" and "Type.Field".
func comments(module fs.FS, dir string) (map[string]string, error) {
	out := map[string]string{}
	files, err := fs.Glob(module, path.Join(dir, "*.go"))
	if err != nil {
		return out, err
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		source, err := fs.ReadFile(module, name)
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
		doc := t.Doc
		if doc == nil {
			doc = types.Doc
		}
		out[t.Name.Name] = sentence(doc, t.Name.Name)
		object, ok := t.Type.(*ast.StructType)
		if !ok {
			continue
		}
		for _, f := range object.Fields.List {
			for _, name := range f.Names {
				out[t.Name.Name+"."+name.Name] = sentence(f.Doc, name.Name)
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
