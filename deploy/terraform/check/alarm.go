package check

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// Sample is the value of a metric in one period, by the statistic that is asked for.
type Sample struct {
	Namespace, Metric string
	Dimensions        map[string]string
	Value             float64
}

// Fires reports whether CloudWatch raises an alarm, a resource aws_cloudwatch_metric_alarm, when it has these samples in its last
// periods, the oldest first. It has none of earlier periods.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
func Fires(alarm Block, periods [][]Sample) (bool, error) {
	looks, needs := int(number(alarm, "evaluation_periods")), int(number(alarm, "datapoints_to_alarm"))
	if needs == 0 {
		needs = looks
	}
	breaching := 0
	for i := range looks {
		var samples []Sample
		if at := len(periods) - 1 - i; at >= 0 {
			samples = periods[at]
		}
		value, err := valueOf(alarm, samples)
		if err != nil {
			return false, err
		}
		if value.IsNull() && alarm.Text("treat_missing_data") == "breaching" || !value.IsNull() && beyond(alarm, float(value)) {
			breaching++
		}
	}
	return breaching >= needs, nil
}

func beyond(alarm Block, value float64) bool {
	if alarm.Text("comparison_operator") == "LessThanThreshold" {
		return value < number(alarm, "threshold")
	}
	return value > number(alarm, "threshold")
}

// valueOf returns what an alarm compares in a period, null if it has no data.
func valueOf(alarm Block, samples []Sample) (cty.Value, error) {
	if name := alarm.Text("metric_name"); name != "" {
		return find(samples, alarm, name), nil
	}
	metrics, expression := map[string]cty.Value{}, ""
	for _, query := range alarm.Blocks["metric_query"] {
		for _, metric := range query.Blocks["metric"] {
			metrics[query.Text("id")] = find(samples, metric, metric.Text("metric_name"))
		}
		if text := query.Text("expression"); text != "" {
			expression = text
		}
	}
	// The part of metric math that the alarms use is in HCL's syntax, too.
	parsed, diags := hclsyntax.ParseExpression([]byte(expression), "expression", hcl.InitialPos)
	if diags.HasErrors() {
		return cty.NilVal, fmt.Errorf("parse %s: %w", expression, diags)
	}
	for _, variable := range parsed.Variables() {
		if value, known := metrics[variable.RootName()]; !known {
			return cty.NilVal, fmt.Errorf("evaluate %s: there is no metric %s", expression, variable.RootName())
		} else if value.IsNull() && !filled(parsed, variable.RootName()) {
			return cty.NullVal(cty.Number), nil
		}
	}
	value, diags := parsed.Value(&hcl.EvalContext{Variables: metrics, Functions: math()})
	if diags.HasErrors() {
		return cty.NilVal, fmt.Errorf("evaluate %s: %w", expression, diags)
	}
	return value, nil
}

// filled reports whether a metric is used as the first argument of FILL only.
func filled(expression hclsyntax.Expression, metric string) bool {
	filled := false
	_ = hclsyntax.VisitAll(expression, func(node hclsyntax.Node) hcl.Diagnostics {
		if call, is := node.(*hclsyntax.FunctionCallExpr); is && call.Name == "FILL" {
			filled = filled || call.Args[0].Variables()[0].RootName() == metric
		}
		return nil
	})
	return filled
}

// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
func math() map[string]function.Function {
	metric := function.Parameter{Name: "metric", Type: cty.Number, AllowNull: true}
	return map[string]function.Function{
		"FILL": function.New(&function.Spec{
			Params: []function.Parameter{metric, metric}, Type: function.StaticReturnType(cty.Number),
			Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
				if args[0].IsNull() {
					return args[1], nil
				}
				return args[0], nil
			},
		}),
		"MAX": function.New(&function.Spec{
			Params: []function.Parameter{{Name: "metrics", Type: cty.List(cty.Number)}}, Type: function.StaticReturnType(cty.Number),
			Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
				return slices.MaxFunc(args[0].AsValueSlice(), func(a, b cty.Value) int { return cmp.Compare(float(a), float(b)) }), nil
			},
		}),
		"IF": function.New(&function.Spec{
			Params: []function.Parameter{{Name: "condition", Type: cty.Bool}, metric, metric}, Type: function.StaticReturnType(cty.Number),
			Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
				if args[0].True() {
					return args[1], nil
				}
				return args[2], nil
			},
		}),
	}
}

// find returns the value of a metric, null if there is none.
func find(samples []Sample, metric Block, name string) cty.Value {
	dimensions := map[string]string{}
	for key, value := range metric.Attributes["dimensions"].AsValueMap() {
		dimensions[key] = value.AsString()
	}
	at := slices.IndexFunc(samples, func(s Sample) bool {
		return s.Namespace == metric.Text("namespace") && s.Metric == name && maps.Equal(s.Dimensions, dimensions)
	})
	if at < 0 {
		return cty.NullVal(cty.Number)
	}
	return cty.NumberFloatVal(samples[at].Value)
}

func number(b Block, name string) float64 {
	if v, set := b.Attributes[name]; set && !v.IsNull() {
		return float(v)
	}
	return 0
}

func float(v cty.Value) float64 {
	f, _ := v.AsBigFloat().Float64()
	return f
}
