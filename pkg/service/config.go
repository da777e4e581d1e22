package service

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/kelseyhightower/envconfig"
)

// Lookup returns the value of an environment variable: os.LookupEnv, or Fixed.
type Lookup = func(name string) (value string, set bool)

// Fixed returns a Lookup of the given values, for what must not depend on the process's environment.
func Fixed(values map[string]string) Lookup {
	return func(name string) (string, bool) { v, ok := values[name]; return v, ok }
}

// LoadConfig fills structs (pointers) from environment variables, named by their fields' `envconfig` tags, and reports all
// variables that cannot be read at once. An unset or empty variable has its default: that of the `default` tag or, where the
// default is a constant of another package, what the struct's method SetDefaults() sets. If all can be read, the method
// Validate() error of each struct that has one is called, those of inner structs first, and all their errors are reported.
func LoadConfig(lookup Lookup, targets ...any) error {
	var errs []error
	wrong := map[string]bool{} // a variable that several structs read, and an error of several, is reported once
	for _, target := range targets {
		declared := variables(reflect.ValueOf(target).Elem())
		for _, v := range declared {
			v.value.SetZero()
		}
		setDefaults(target)
		for _, v := range declared {
			text := v.text(lookup)
			if text == "" {
				continue
			}
			if err := decode(text, v.value); err != nil && !wrong[v.Name] {
				wrong[v.Name] = true
				errs = append(errs, fmt.Errorf("%s=%s: %w; it is %s", v.Name, v.masked(text), err, v.Meaning))
			}
		}
	}
	if len(errs) == 0 {
		for _, target := range targets {
			walk(reflect.ValueOf(target).Elem(), func(s any) {
				if v, ok := s.(interface{ Validate() error }); ok {
					if err := v.Validate(); err != nil && !wrong[err.Error()] {
						wrong[err.Error()] = true
						errs = append(errs, err)
					}
				}
			})
		}
	}
	return errors.Join(errs...)
}

var commas = regexp.MustCompile(`\s*,\s*`) // read only

// decode converts a text by envconfig's rules. It calls envconfig for one value at a time, because envconfig stops at the
// first mistake, and passes the text as a default, because envconfig reads no environment but the process's: no
// environment has a variable named "=".
func decode(text string, value reflect.Value) error {
	if value.Kind() == reflect.Slice {
		text = commas.ReplaceAllString(strings.TrimSpace(text), ",")
	}
	one := reflect.New(reflect.StructOf([]reflect.StructField{{
		Name: "Value", Type: value.Type(), Tag: reflect.StructTag(fmt.Sprintf(`envconfig:"=" default:%q`, text)),
	}}))
	err := envconfig.Process("", one.Interface())
	if parse, ok := errors.AsType[*envconfig.ParseError](err); ok {
		err = innermost(parse.Err) // the rest names Go fields, which mean nothing to an operator
	}
	if err == nil {
		value.Set(one.Elem().Field(0))
	}
	return err
}

func innermost(err error) error {
	for errors.Unwrap(err) != nil {
		err = errors.Unwrap(err)
	}
	return err
}

func setDefaults(target any) {
	walk(reflect.ValueOf(target).Elem(), func(s any) {
		if d, ok := s.(interface{ SetDefaults() }); ok {
			d.SetDefaults()
		}
	})
}

// walk calls f with a pointer to every struct in s, then to s.
func walk(s reflect.Value, f func(any)) {
	for field, value := range s.Fields() {
		if field.IsExported() && value.Kind() == reflect.Struct {
			walk(value, f)
		}
	}
	f(s.Addr().Interface())
}

// Variable is one environment variable that a configuration reads.
type Variable struct {
	Name, Default, Meaning string
	// Secret says that its value must not be shown.
	Secret bool

	value reflect.Value
}

// text returns what the variable is set to, or its default.
func (v Variable) text(lookup Lookup) string {
	if text, _ := lookup(v.Name); text != "" {
		return text
	}
	return v.Default
}

func (v Variable) masked(text string) string {
	if v.Secret && text != "" {
		return "******"
	}
	return text
}

// variables lists what a struct reads, with the defaults of tags.
func variables(s reflect.Value) []Variable {
	var out []Variable
	for field, value := range s.Fields() {
		switch tag := field.Tag; {
		case tag.Get("envconfig") != "":
			out = append(out, Variable{
				Name: tag.Get("envconfig"), Default: tag.Get("default"), Meaning: tag.Get("desc"),
				Secret: tag.Get("secret") == "true", value: value,
			})
		case field.Type.Kind() == reflect.Struct:
			out = append(out, variables(value)...)
		}
	}
	return out
}

// format writes a value as an operator would: 2m, not 2m0s.
func format(value any) string {
	text := fmt.Sprint(value)
	if _, ok := value.(time.Duration); ok {
		for _, zero := range []string{"m0s", "h0m"} {
			if strings.HasSuffix(text, zero) {
				text = text[:len(text)-2]
			}
		}
	}
	return text
}

// Variables lists what configuration structs (pointers) read, each name once, in order of appearance.
func Variables(configs ...any) []Variable {
	var out []Variable
	for _, c := range configs {
		fresh := reflect.New(reflect.TypeOf(c).Elem())
		setDefaults(fresh.Interface())
		for _, v := range variables(fresh.Elem()) {
			if slices.ContainsFunc(out, func(o Variable) bool { return o.Name == v.Name }) {
				continue
			}
			if v.Default == "" && !v.value.IsZero() {
				v.Default = format(v.value.Interface())
			}
			out = append(out, v)
		}
	}
	return out
}

// WantsHelp reports whether the arguments request help, in one of the usual ways.
func WantsHelp(args []string) bool {
	return len(args) == 1 && slices.Contains([]string{"-h", "-help", "--help", "help"}, args[0])
}

// UnknownArguments is the error of a program that does not know its arguments.
func UnknownArguments(args []string) error {
	return fmt.Errorf("unknown arguments %q; -help lists what there is", strings.Join(args, " "))
}

// WriteHelp prints what a program does and the variables it reads.
func WriteHelp(w io.Writer, name, does string, configs ...any) error {
	_, _ = fmt.Fprintf(w, "%s: %s\n\n"+
		"Usage: %[1]s [-help | -health | config]\n\n"+
		"  -health  ask the process that runs here whether it is ready; exit code 0: yes\n"+
		"  config   check and print the configuration, secrets masked; exit code 1: there are mistakes\n\n", name, does)
	return WriteVariables(w, Variables(configs...))
}

// WriteVariables prints a table of variables with their meanings and defaults.
func WriteVariables(w io.Writer, variables []Variable) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "Environment variables, with their [defaults]:")
	for _, v := range variables {
		_, _ = fmt.Fprintf(t, "  %s\t%s\t[%s]\n", v.Name, v.Meaning, v.Default)
	}
	return t.Flush() // a failed write shows here
}

// WriteConfig prints the configuration in effect as NAME=value lines, secrets masked, unless it has mistakes.
func WriteConfig(w io.Writer, lookup Lookup, configs ...any) error {
	if err := LoadConfig(lookup, configs...); err != nil {
		return err
	}
	for _, v := range Variables(configs...) {
		if _, err := fmt.Fprintf(w, "%s=%s\n", v.Name, v.masked(v.text(lookup))); err != nil {
			return err
		}
	}
	return nil
}
