package service

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kelseyhightower/envconfig"

	"github.com/leftfold/leftfold/pkg/service/awsconfig"
)

// Lookup returns the value of an environment variable: os.LookupEnv, or Fixed.
type Lookup = func(name string) (value string, set bool)

// Fixed returns a Lookup of the given values, for what must not depend on the process's environment.
func Fixed(values map[string]string) Lookup {
	return func(name string) (string, bool) { v, ok := values[name]; return v, ok }
}

// LoadConfig fills structs (pointers) from environment variables, named by their fields' `envconfig` tags, and reports all
// mistakes at once. An unset or empty variable has its default: that of the `default` tag or, where the default is a constant
// of another package, what the struct's method SetDefaults() sets. A tag `names` says what of AWS the variable names: a table, stream,
// stream consumer or queue. The method Validate() error of each struct that has one is
// called, those of inner structs first; it sees the default of a variable that cannot be read.
func LoadConfig(lookup Lookup, targets ...any) error {
	var errs []error
	reported := map[string]bool{} // several structs may read one variable, and several may have one mistake
	var report func(error)
	report = func(err error) {
		joined, ok := err.(interface{ Unwrap() []error }) // a wrapped one has a text of its own
		switch {
		case ok:
			for _, part := range joined.Unwrap() {
				report(part)
			}
		case err != nil && !reported[err.Error()]:
			reported[err.Error()] = true
			errs = append(errs, err)
		}
	}
	for _, target := range targets {
		declared := variables(reflect.ValueOf(target).Elem(), "")
		for _, v := range declared {
			v.value.SetZero()
		}
		setDefaults(target)
		for _, v := range declared {
			if err := v.read(lookup); err != nil {
				report(err)
			}
		}
	}
	for _, target := range targets {
		walk(reflect.ValueOf(target).Elem(), func(s any) {
			if v, ok := s.(interface{ Validate() error }); ok {
				report(v.Validate())
			}
		})
	}
	return errors.Join(errs...)
}

// read sets the value to the default and then, if it can be read, to what the variable is set to.
func (v Variable) read(lookup Lookup) error {
	if v.Default != "" {
		if err := decode(v.Default, v.value); err != nil {
			return fmt.Errorf("%s: its default %s: %w", v.Name, v.Default, err)
		}
	}
	text, _ := lookup(v.Name)
	if text == "" {
		return nil
	}
	err := decode(text, v.value)
	if err == nil && v.names != "" {
		err = awsconfig.CheckName(v.names, text)
	}
	if err != nil {
		return fmt.Errorf("%s=%s: %w (%s)", v.Name, v.masked(text), err, v.Meaning)
	}
	return nil
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
	read := one.Elem().Field(0)
	if f, ok := reflect.TypeAssert[float64](read); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
		return notA(read.Type())
	}
	if parse, ok := errors.AsType[*envconfig.ParseError](err); ok {
		if err = innermost(parse.Err); errors.Is(err, strconv.ErrRange) {
			return errors.New("too large a number")
		}
		if plain := notA(read.Type()); plain != nil {
			return plain
		}
	}
	if err == nil {
		value.Set(read)
	}
	return err
}

// notA says what a text is not, where the parser's own words name Go's syntax. Nil: they can be shown.
func notA(kind reflect.Type) error {
	if kind.Kind() == reflect.Slice {
		kind = kind.Elem()
	}
	switch kind {
	case reflect.TypeFor[int]():
		return errors.New("not a whole number")
	case reflect.TypeFor[float64]():
		return errors.New("not a number")
	case reflect.TypeFor[bool]():
		return errors.New("neither true nor false")
	case reflect.TypeFor[time.Duration]():
		return errors.New("not a duration such as 500ms, 10s or 1h30m")
	case reflect.TypeFor[netip.Prefix]():
		return errors.New("not a network")
	}
	return nil
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
	// Group is the subject under which the help lists it.
	Group string
	// Secret says that its value must not be shown.
	Secret bool

	names string // what of AWS its value names, as awsconfig.CheckName knows it; empty: nothing
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

// variables lists what a struct reads, with the defaults of tags. A field _ with a `group` tag names the group of those that
// follow in the struct; until then it is the one of the struct around it.
func variables(s reflect.Value, group string) []Variable {
	var out []Variable
	for field, value := range s.Fields() {
		switch tag := field.Tag; {
		case field.Name == "_":
			group = cmp.Or(tag.Get("group"), group)
		case tag.Get("envconfig") != "":
			out = append(out, Variable{
				Name: tag.Get("envconfig"), Default: tag.Get("default"), Meaning: tag.Get("desc"), Group: group,
				Secret: tag.Get("secret") == "true", names: tag.Get("names"), value: value,
			})
		case field.Type.Kind() == reflect.Struct:
			out = append(out, variables(value, group)...)
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
		for _, v := range variables(fresh.Elem(), "") {
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
