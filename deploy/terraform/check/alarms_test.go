package check_test

import (
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/zclconf/go-cty/cty"
)

// TestEveryAlarmHasARunbook: an alarm's description links to a section of docs/operations.md, and no section lacks an alarm.
func TestEveryAlarmHasARunbook(t *testing.T) {
	t.Parallel()
	text := func(s string) cty.Value { return cty.StringVal(s) }
	one := func(s string) cty.Value { return cty.ListVal([]cty.Value{text(s)}) }
	m := evaluate(t, "modules/observability", map[string]cty.Value{
		"cluster": text("c"), "services": one("streamer"), "load_balancer": text("lb"), "tables": one("EventLog"), "stream": text("event-source"),
		"targets": cty.ObjectVal(map[string]cty.Value{"command-api": text("group")}), "queues": one("q"), "dead_letter_queues": one("d"),
		"firehose": text("f"), "emails": cty.SetValEmpty(cty.String),
	})
	anchors := map[string]bool{}
	for _, alarms := range m.Resources["aws_cloudwatch_metric_alarm"] {
		for _, alarm := range alarms {
			_, anchor, _ := strings.Cut(alarm.Text("alarm_description"), "#")
			anchors[anchor] = true
		}
	}
	for _, rule := range m.Resources["aws_cloudwatch_event_rule"]["deployment_failed"] {
		_, anchor, _ := strings.Cut(rule.Text("description"), "#")
		anchors[anchor] = true
	}
	_, chapter, found := strings.Cut(read(t, "docs/operations.md"), "\n## Alarms\n")
	require.True(t, found)
	chapter, _, _ = strings.Cut(chapter, "\n## ")
	var chapters []string
	for _, heading := range regexp.MustCompile(`(?m)^### (.+)$`).FindAllStringSubmatch(chapter, -1) {
		chapters = append(chapters, heading[1])
	}
	assert.Greater(t, len(anchors), 10, "%v", m.Blind)
	assert.ElementsMatch(t, slices.Collect(maps.Keys(anchors)), chapters)
}

// TestMetricsExist: every metric of ours that an alarm, a graph or the autoscaler uses is exported by a service and collected.
func TestMetricsExist(t *testing.T) {
	t.Parallel()
	documented := read(t, "docs/observability.md")
	collected := read(t, "deploy/terraform/modules/service/collector.tf")
	files, err := filepath.Glob(filepath.Join(root, "deploy/terraform/*/*/*.tf"))
	require.NoError(t, err)
	seen := map[string]bool{}
	for _, file := range files {
		relative, err := filepath.Rel(root, file)
		require.NoError(t, err)
		for _, metric := range regexp.MustCompile(`"(leftfold_[a-z_]+)"`).FindAllStringSubmatch(read(t, relative), -1) {
			seen[metric[1]] = true
			assert.Contains(t, documented, "| `"+metric[1]+"` |", file)
			assert.Contains(t, collected, `"`+metric[1]+`"`, file)
		}
	}
	assert.Greater(t, len(seen), 5)
}
