package check

import (
	"os"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// functions are the functions of Terraform that the modules use, as far as libraries have them; an expression with another one
// has no value.
func functions() map[string]function.Function {
	return map[string]function.Function{
		"alltrue": allTrue(), "can": tryfunc.CanFunc, "try": tryfunc.TryFunc,
		"ceil": stdlib.CeilFunc, "coalesce": stdlib.CoalesceFunc, "compact": compact(), "concat": stdlib.ConcatFunc,
		"contains": stdlib.ContainsFunc, "distinct": stdlib.DistinctFunc,
		"flatten": stdlib.FlattenFunc, "file": file(), "floor": stdlib.FloorFunc, "format": stdlib.FormatFunc, "join": stdlib.JoinFunc,
		"jsondecode": stdlib.JSONDecodeFunc, "jsonencode": stdlib.JSONEncodeFunc,
		"keys": stdlib.KeysFunc, "length": stdlib.LengthFunc, "lookup": stdlib.LookupFunc,
		"merge": stdlib.MergeFunc, "min": stdlib.MinFunc, "regex": stdlib.RegexFunc, "replace": stdlib.RegexReplaceFunc,
		"setproduct": stdlib.SetProductFunc, "slice": stdlib.SliceFunc, "sort": stdlib.SortFunc, "split": stdlib.SplitFunc,
		"tostring": stdlib.MakeToFunc(cty.String), "toset": stdlib.MakeToFunc(cty.Set(cty.DynamicPseudoType)),
		"tolist": stdlib.MakeToFunc(cty.List(cty.DynamicPseudoType)), "values": stdlib.ValuesFunc,
		"trimprefix": stdlib.TrimPrefixFunc, "upper": stdlib.UpperFunc, "yamlencode": stdlib.JSONEncodeFunc, // JSON is YAML
	}
}

func allTrue() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "list", Type: cty.List(cty.Bool)}},
		Type:   function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return cty.BoolVal(!slices.ContainsFunc(args[0].AsValueSlice(), cty.Value.False)), nil
		},
	})
}

// file reads a file, as Terraform does.
func file() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			text, err := os.ReadFile(args[0].AsString())
			return cty.StringVal(string(text)), err
		},
	})
}

// compact drops nulls, as Terraform does; stdlib's refuses them.
func compact() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "list", Type: cty.List(cty.String)}},
		Type:   function.StaticReturnType(cty.List(cty.String)),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			var out []cty.Value
			for _, v := range args[0].AsValueSlice() {
				if !v.IsNull() && v.AsString() != "" {
					out = append(out, v)
				}
			}
			if len(out) == 0 {
				return cty.ListValEmpty(cty.String), nil
			}
			return cty.ListVal(out), nil
		},
	})
}

// Strings returns a list's or a set's texts, sorted.
func Strings(v cty.Value) (out []string) {
	if v.IsNull() {
		return nil
	}
	for it := v.ElementIterator(); it.Next(); {
		_, text := it.Element()
		out = append(out, text.AsString())
	}
	slices.SortFunc(out, strings.Compare)
	return out
}
