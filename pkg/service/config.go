package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/sethvargo/go-envconfig"
)

// LoadConfig fills the struct that target points to from environment variables, named by its fields' `env` tags (see
// github.com/sethvargo/go-envconfig), and reports all mistakes at once, each by its variable. If all can
// be read, the struct and those in it are asked for more by their method Validate() error, if they have it. An empty
// variable counts as unset.
func LoadConfig(ctx context.Context, lookup func(string) (string, bool), target any) error {
	lookuper := lookupFunc(func(key string) (string, bool) {
		v, ok := lookup(key)
		return v, ok && v != ""
	})
	var errs []error
	wrong := map[string]bool{} // a variable that several parts read is reported once
	for _, v := range variables(reflect.ValueOf(target).Elem()) {
		// One field at a time, because the library stops at the first mistake.
		one := reflect.New(reflect.StructOf([]reflect.StructField{v.field}))
		if err := envconfig.ProcessWith(ctx, &envconfig.Config{Target: one.Interface(), Lookuper: lookuper}); err != nil {
			if !wrong[v.name()] {
				text, _ := lookuper(v.name())
				errs = append(errs, fmt.Errorf("%s=%s: %w; it is %s", v.name(), text, innermost(err), v.field.Tag.Get("desc")))
			}
			wrong[v.name()] = true
			continue
		}
		v.value.Set(one.Elem().Field(0))
	}
	if len(errs) == 0 {
		errs = validate(reflect.ValueOf(target).Elem(), map[string]bool{})
	}
	return errors.Join(errs...)
}

// validate asks every struct in s, s last. What several say is said once.
func validate(s reflect.Value, said map[string]bool) (errs []error) {
	for i := range s.NumField() {
		if s.Type().Field(i).IsExported() && s.Field(i).Kind() == reflect.Struct {
			errs = append(errs, validate(s.Field(i), said)...)
		}
	}
	if v, ok := reflect.TypeAssert[interface{ Validate() error }](s.Addr()); ok {
		if err := v.Validate(); err != nil && !said[err.Error()] {
			said[err.Error()] = true
			errs = append(errs, err)
		}
	}
	return errs
}

type lookupFunc func(string) (string, bool)

func (f lookupFunc) Lookup(key string) (string, bool) { return f(key) }

// innermost drops the library's mention of a Go field, which means nothing to an operator.
func innermost(err error) error {
	for errors.Unwrap(err) != nil {
		err = errors.Unwrap(err)
	}
	return err
}

type variable struct {
	field reflect.StructField
	value reflect.Value
}

func (v variable) name() string {
	name, _, _ := strings.Cut(v.field.Tag.Get("env"), ",")
	return name
}

func (v variable) fallback() string {
	_, fallback, _ := strings.Cut(v.field.Tag.Get("env"), "default=")
	return fallback
}

func variables(s reflect.Value) []variable {
	var out []variable
	for i := range s.NumField() {
		f := s.Type().Field(i)
		switch {
		case f.Tag.Get("env") != "":
			f.Name, f.Anonymous = "V", false // StructOf wants an exported, plain field
			out = append(out, variable{field: f, value: s.Field(i)})
		case f.Type.Kind() == reflect.Struct:
			out = append(out, variables(s.Field(i))...)
		}
	}
	return out
}

// Variable is one environment variable that a configuration reads.
type Variable struct{ Name, Default, Meaning string }

// Variables lists what the given configuration structs (pointers) read, each name once, in order of appearance.
func Variables(configs ...any) []Variable {
	var out []Variable
	seen := map[string]bool{}
	for _, c := range configs {
		for _, v := range variables(reflect.ValueOf(c).Elem()) {
			if !seen[v.name()] {
				seen[v.name()] = true
				out = append(out, Variable{Name: v.name(), Default: v.fallback(), Meaning: v.field.Tag.Get("desc")})
			}
		}
	}
	return out
}

// WantsHelp says whether the arguments ask what a program does, in one of the usual ways.
func WantsHelp(args []string) bool {
	return len(args) == 1 && slices.Contains([]string{"-h", "-help", "--help", "help"}, args[0])
}

// UnknownArguments is the error of a program that makes nothing of its arguments.
func UnknownArguments(args []string) error {
	return fmt.Errorf("unknown arguments %q; -help tells what there is", strings.Join(args, " "))
}

// WriteHelp prints what a program does and the variables it reads.
func WriteHelp(w io.Writer, name, does string, configs ...any) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprintf(t, "%s: %s\n\nThese environment variables set it up:\n", name, does)
	for _, v := range Variables(configs...) {
		_, _ = fmt.Fprintf(t, "  %s\t%s\t%s\n", v.Name, v.Meaning, "["+v.Default+"]")
	}
	return t.Flush() // a failed write shows here
}
