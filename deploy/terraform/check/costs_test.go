package check_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/zclconf/go-cty/cty"
)

// production returns the services of the production example, with what they scale by, and the outputs of the modules data and edge.
func production(t *testing.T) (services, outputs, targets map[string]cty.Value) {
	t.Helper()
	text := cty.StringVal
	outputs, targets = data(t, nil).Outputs, edge(t, nil).Outputs["targets"].AsValueMap()
	vars := map[string]cty.Value{"module": cty.ObjectVal(map[string]cty.Value{
		"data": cty.ObjectVal(outputs), "cluster": cty.ObjectVal(map[string]cty.Value{"name": text("c")}),
		"network": cty.ObjectVal(map[string]cty.Value{"public_cidrs": texts("10.0.0.0/24"), "table_streams_endpoint": text("https://streams")}),
	})}
	for _, needed := range []string{"oidc_issuer", "oidc_audience", "host", "processor_client_id"} {
		vars[needed] = text(needed)
	}
	m := evaluate(t, "examples/production", vars)
	require.Contains(t, m.Locals, "services", "%v", m.Blind)
	return m.Locals["services"].AsValueMap(), outputs, targets
}

// TestTheCostsCountEveryAlarm: docs/costs.md says how many alarms the production example has, and on how many metrics, which is what AWS
// charges for.
func TestTheCostsCountEveryAlarm(t *testing.T) {
	t.Parallel()
	services, outputs, targets := production(t)
	var names []cty.Value
	for name := range services {
		names = append(names, cty.StringVal(name))
	}
	groups := map[string]cty.Value{}
	for service, target := range targets {
		groups[service] = target.GetAttr("metrics")
	}
	vars := map[string]cty.Value{
		"cluster": cty.StringVal("c"), "services": cty.ListVal(names), "load_balancer": cty.StringVal("lb"), "targets": cty.ObjectVal(groups),
		"certificate_arn": cty.StringVal("certificate"), "firehose": outputs["archive"].GetAttr("firehose"), "key_arns": outputs["key_arns"],
		"emails": cty.SetValEmpty(cty.String), "queues": cty.TupleVal(slices.Collect(maps.Values(outputs["queues"].AsValueMap()))),
	}
	for _, output := range []string{"tables", "indexes", "stream", "dead_letter_queues"} {
		vars[output] = outputs[output]
	}
	m := evaluate(t, "modules/observability", vars)
	alarms, metrics := 0, 0
	for name, instances := range m.Resources["aws_cloudwatch_metric_alarm"] {
		for _, alarm := range instances {
			alarms, metrics = alarms+1, metrics+max(1, len(alarm.Blocks["metric_query"])-1) // one is the expression
		}
		assert.NotEmpty(t, instances, name)
	}
	require.Len(t, m.Resources["aws_cloudwatch_metric_alarm"], 2, "%v", m.Blind)

	ofScaling, onMetrics := 0, 0
	for name, s := range services {
		scaling := map[string]cty.Value{"min": cty.NumberIntVal(2), "cpu": cty.NumberIntVal(60), "requests": cty.NullVal(cty.Number)}
		scaling["signals"] = cty.EmptyObjectVal
		maps.Copy(scaling, s.GetAttr("scaling").AsValueMap())
		target, behindTheEdge := targets[name]
		if !behindTheEdge {
			target = cty.NullVal(cty.DynamicPseudoType)
		}
		service, _ := serviceModule(t, map[string]cty.Value{"scaling": cty.ObjectVal(scaling), "target": target})
		for _, policies := range service.Resources["aws_appautoscaling_policy"] {
			for _, policy := range policies {
				configuration := policy.Blocks["target_tracking_scaling_policy_configuration"][0]
				on := 1
				for _, specification := range configuration.Blocks["customized_metric_specification"] {
					on = len(specification.Blocks["metrics"]) - 1 // one is the expression
				}
				ofScaling, onMetrics = ofScaling+2, onMetrics+2*on // one alarm adds tasks, another one removes them
			}
		}
	}
	want := fmt.Sprintf("%d alarms on %d metrics and %d of the autoscaler on %d", alarms, metrics, ofScaling, onMetrics)
	for line := range strings.Lines(read(t, "docs/costs.md")) {
		if row, found := strings.CutPrefix(line, "| CloudWatch | "); found && strings.Contains(row, "autoscaler") {
			assert.Contains(t, row, want, "docs/costs.md, with $0.10 for each metric of an alarm")
			return
		}
	}
	assert.Fail(t, "docs/costs.md has no row of alarms")
}
