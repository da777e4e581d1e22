package check_test

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/zclconf/go-cty/cty"

	"github.com/leftfold/leftfold/deploy/terraform/check"
)

// observability returns the module with one of each of what it watches.
func observability(t *testing.T) *check.Module {
	t.Helper()
	text := cty.StringVal
	one := func(s string) cty.Value { return cty.ListVal([]cty.Value{text(s)}) }
	group := func(s string) cty.Value {
		return cty.MapVal(map[string]cty.Value{"LoadBalancer": text("lb"), "TargetGroup": text(s)})
	}
	pair := cty.ListVal([]cty.Value{group("group"), group("alternate")})
	m := evaluate(t, "modules/observability", map[string]cty.Value{
		"cluster": text("c"), "services": one("streamer"), "load_balancer": text("lb"), "tables": one("EventLog"), "stream": text("event-source"),
		"targets": cty.ObjectVal(map[string]cty.Value{"command-api": pair}), "queues": one("q"), "dead_letter_queues": one("d"),
		"indexes":  cty.ListVal([]cty.Value{cty.ObjectVal(map[string]cty.Value{"table": text("projection-user"), "index": text("listing")})}),
		"firehose": text("f"), "emails": cty.SetValEmpty(cty.String), "certificate_arn": text("certificate"), "key_arns": one("arn:key/k"),
		"backed_up": one("arn:table/EventLog"),
	})
	require.Contains(t, m.Resources, "aws_cloudwatch_metric_alarm", "%v", m.Blind)
	return m
}

// TestEveryAlarmHasARunbook: an alarm's description links to a section of docs/operations.md, and no section lacks an alarm.
func TestEveryAlarmHasARunbook(t *testing.T) {
	t.Parallel()
	m := observability(t)
	anchors := map[string]bool{}
	for _, alarms := range m.Resources["aws_cloudwatch_metric_alarm"] {
		for _, alarm := range alarms {
			_, anchor, _ := strings.Cut(alarm.Text("alarm_description"), "#")
			anchors[anchor] = true
		}
	}
	for _, rule := range m.Resources["aws_cloudwatch_event_rule"]["this"] {
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

// samples returns what CloudWatch has of some metrics, each as "namespace metric dimension=value,… value".
func samples(t *testing.T, texts ...string) (out []check.Sample) {
	t.Helper()
	for _, text := range texts {
		fields := strings.Fields(text)
		require.Len(t, fields, 4, text)
		value, err := strconv.ParseFloat(fields[3], 64)
		require.NoError(t, err)
		s := check.Sample{Namespace: fields[0], Metric: fields[1], Dimensions: map[string]string{}, Value: value}
		for dimension := range strings.SplitSeq(fields[2], ",") {
			name, of, _ := strings.Cut(dimension, "=")
			s.Dimensions[name] = of
		}
		out = append(out, s)
	}
	return out
}

// incident is what CloudWatch has in a period before and during a disaster. The names of AWS's metrics and dimensions are from its
// documentation, and are not read from the alarms.
type incident struct {
	alarm          string
	before, during []string
}

// own is an incident that one of our metrics shows.
func own(alarm, metric, service, before, during string) incident {
	of := "Leftfold leftfold_" + metric + " service=" + service + " "
	return incident{alarm, []string{of + before}, []string{of + during}}
}

// of is an incident that a metric of AWS shows.
func of(alarm, metric, before, during string) incident {
	return incident{alarm, []string{metric + " " + before}, []string{metric + " " + during}}
}

var incidents = []incident{ //nolint:gochecknoglobals // read only
	own("reader-behind/streamer", "shards_behind_seconds", "streamer", "1", "61"),
	own("reader-behind/broker", "shards_behind_seconds", "broker", "1", "4000"),
	{"reader-behind/broker", []string{"Leftfold leftfold_shards_behind_seconds service=broker 1"}, nil}, // it does not run
	own("reader-stuck/broker", "shards_checkpoint_age_seconds", "broker", "2", "301"),
	own("records-trimmed/broker", "shards_trimmed_total", "broker", "0", "1"),
	own("source-replaced/streamer", "shards_source_replaced_total", "streamer", "0", "1"),
	own("source-missing/streamer", "shards_list_failures_total", "streamer", "0", "6"),
	own("aggregate-parked/projector-role", "projection_parked_total", "projector-role", "0", "1"),
	own("process-parked/processor", "timers_parked", "processor", "0", "1"),
	own("process-stuck/processor", "timers_stuck", "processor", "0", "1"),
	own("process-denied/processor", "process_calls_denied_total", "processor", "0", "1"),
	own("unknown-event/command-api", "unknown_events_total", "command-api", "0", "1"),
	own("log-hole/command-api", "log_hole_total", "command-api", "0", "1"),
	own("log-hole-seen-by/projector-user", "projection_log_hole_total", "projector-user", "0", "1"),
	own("rows-unreadable/projector-user", "projection_bad_rows_total", "projector-user", "0", "1"),
	own("rows-differ/projector-user", "projection_audit_differences_total", "projector-user", "0", "1"),
	own("audit-late/projector-user", "projection_audit_late", "projector-user", "0", "1"),
	own("rebuild-due/projector-user", "projection_rebuild_due", "projector-user", "0", "1"),
	own("item-undecodable/streamer", "publish_undecodable_total", "streamer", "0", "1"),
	own("record-undecodable/broker", "route_undecodable_total", "broker", "0", "1"),
	own("publish-refused/streamer", "publish_refused_total", "streamer", "0", "1"),
	own("route-refused/broker", "route_refused_total", "broker", "0", "1"),
	own("lease-unreadable/broker", "shards_unreadable_leases_total", "broker", "0", "1"),
	own("shards-not-polled/streamer", "shards_poll_age_seconds", "streamer", "1", "61"),
	own("queue-not-polled/projector-user", "fifoqueue_poll_age_seconds", "projector-user", "20", "61"),
	own("loop-hangs/streamer", "loop_age_seconds", "streamer", "10", "601"),
	{"metrics-missing/streamer", []string{"Leftfold leftfold_loop_age_seconds service=streamer 1"}, nil},

	// https://docs.aws.amazon.com/streams/latest/dev/monitoring-with-cloudwatch.html
	of("stream-behind/event-source", "AWS/Kinesis GetRecords.IteratorAgeMilliseconds StreamName=event-source", "200", "600001"),
	of("stream-throttled/event-source", "AWS/Kinesis WriteProvisionedThroughputExceeded StreamName=event-source", "0", "1"),
	of("stream-reads-refused/event-source", "AWS/Kinesis ReadProvisionedThroughputExceeded StreamName=event-source", "0.05", "0.25"),

	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
	of("queue-old/q", "AWS/SQS ApproximateAgeOfOldestMessage QueueName=q", "2", "301"),
	of("dead-letters/d", "AWS/SQS ApproximateNumberOfMessagesVisible QueueName=d", "0", "1"),

	// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html
	of("reads-throttled/EventLog", "AWS/DynamoDB ReadThrottleEvents TableName=EventLog", "0", "11"),
	of("writes-throttled/EventLog", "AWS/DynamoDB WriteThrottleEvents TableName=EventLog", "0", "11"),
	of("writes-throttled/projection-user/listing",
		"AWS/DynamoDB WriteThrottleEvents TableName=projection-user,GlobalSecondaryIndexName=listing", "0", "11"),

	// https://docs.aws.amazon.com/firehose/latest/dev/cloudwatch-metrics.html
	of("archive-late/f", "AWS/Firehose DeliveryToS3.DataFreshness DeliveryStreamName=f", "320", "1801"),
	{ // it may not read
		"archive-not-read/f",
		[]string{
			"AWS/Kinesis IncomingRecords StreamName=event-source 5",
			"AWS/Firehose DataReadFromKinesisStream.Records DeliveryStreamName=f 5",
		},
		[]string{"AWS/Kinesis IncomingRecords StreamName=event-source 5"},
	},

	// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/available-metrics.html and
	// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Container-Insights-metrics-ECS.html
	of("no-tasks/streamer", "ECS/ContainerInsights RunningTaskCount ClusterName=c,ServiceName=streamer", "2", "0"),
	of("memory-high/streamer", "AWS/ECS MemoryUtilization ClusterName=c,ServiceName=streamer", "40", "86"),

	// https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html
	of("no-healthy-targets/command-api", "AWS/ApplicationELB HealthyHostCount LoadBalancer=lb,TargetGroup=group", "2", "0"),
	of("no-healthy-targets/command-api", "AWS/ApplicationELB HealthyHostCount LoadBalancer=lb,TargetGroup=alternate", "2", "0"),
	{"no-healthy-targets/command-api", []string{"AWS/ApplicationELB HealthyHostCount LoadBalancer=lb,TargetGroup=group 2"}, nil},
	of("unhealthy-target/command-api", "AWS/ApplicationELB UnHealthyHostCount LoadBalancer=lb,TargetGroup=group", "0", "1"),
	of("unhealthy-target/command-api", "AWS/ApplicationELB UnHealthyHostCount LoadBalancer=lb,TargetGroup=alternate", "0", "1"),
	of("slow-answers/command-api", "AWS/ApplicationELB TargetResponseTime LoadBalancer=lb,TargetGroup=group", "0.02", "2.5"),
	{ // of the release that a tenth of the requests try
		"slow-answers/command-api",
		[]string{"AWS/ApplicationELB TargetResponseTime LoadBalancer=lb,TargetGroup=group 0.02"},
		[]string{
			"AWS/ApplicationELB TargetResponseTime LoadBalancer=lb,TargetGroup=group 0.02",
			"AWS/ApplicationELB TargetResponseTime LoadBalancer=lb,TargetGroup=alternate 2.5",
		},
	},
	of("edge-errors/edge", "AWS/ApplicationELB HTTPCode_ELB_5XX_Count LoadBalancer=lb", "0", "11"),
	{ // two in a hundred
		"service-errors/command-api",
		[]string{"AWS/ApplicationELB RequestCount LoadBalancer=lb,TargetGroup=group 1000"},
		[]string{
			"AWS/ApplicationELB RequestCount LoadBalancer=lb,TargetGroup=group 1000",
			"AWS/ApplicationELB HTTPCode_Target_5XX_Count LoadBalancer=lb,TargetGroup=group 20",
		},
	},
	{ // an eighth of what a tenth of the requests try
		"service-errors/command-api",
		[]string{"AWS/ApplicationELB RequestCount LoadBalancer=lb,TargetGroup=group 1000"},
		[]string{
			"AWS/ApplicationELB RequestCount LoadBalancer=lb,TargetGroup=group 900",
			"AWS/ApplicationELB RequestCount LoadBalancer=lb,TargetGroup=alternate 100",
			"AWS/ApplicationELB HTTPCode_Target_5XX_Count LoadBalancer=lb,TargetGroup=alternate 12.5",
		},
	},
	{ // no hop is late by itself
		"read-model-late/q",
		[]string{
			"Leftfold leftfold_shards_behind_seconds service=streamer 1", "Leftfold leftfold_shards_behind_seconds service=broker 1",
			"AWS/SQS ApproximateAgeOfOldestMessage QueueName=q 2",
		},
		[]string{
			"Leftfold leftfold_shards_behind_seconds service=streamer 25", "Leftfold leftfold_shards_behind_seconds service=broker 25",
			"AWS/SQS ApproximateAgeOfOldestMessage QueueName=q 25",
		},
	},

	// https://docs.aws.amazon.com/acm/latest/userguide/cloudwatch-metrics.html
	of("certificate-expires/edge", "AWS/CertificateManager DaysToExpiry CertificateArn=certificate", "60", "29"),
}

// TestEachAlarmFiresInItsDisaster gives each alarm the metrics of its disaster: for as long as it takes the alarm is raised, a period
// less or before the disaster it is not.
func TestEachAlarmFiresInItsDisaster(t *testing.T) {
	t.Parallel()
	alarms := map[string]check.Block{}
	for _, instances := range observability(t).Resources["aws_cloudwatch_metric_alarm"] {
		maps.Copy(alarms, instances)
	}
	chapter := func(alarm string) string { name, _, _ := strings.Cut(alarm, "/"); return name }
	seen := map[string]bool{}
	for _, incident := range incidents {
		alarm, exists := alarms[incident.alarm]
		require.True(t, exists, incident.alarm)
		seen[chapter(incident.alarm)] = true
		history := func(disaster int) (periods [][]check.Sample) {
			for range 100 {
				periods = append(periods, samples(t, incident.before...))
			}
			for range disaster {
				periods = append(periods, samples(t, incident.during...))
			}
			return periods
		}
		fires := func(disaster int) bool {
			is, err := check.Fires(alarm, history(disaster))
			require.NoError(t, err, incident.alarm)
			return is
		}
		needs := alarm.Attributes["evaluation_periods"]
		if points, set := alarm.Attributes["datapoints_to_alarm"]; set {
			needs = points
		}
		n, _ := needs.AsBigFloat().Int64()
		assert.True(t, fires(int(n)), "%s is not raised by its disaster", incident.alarm)
		assert.False(t, fires(int(n)-1), "%s is raised too early", incident.alarm)
	}
	for name := range alarms {
		assert.True(t, seen[chapter(name)], "%s: what is its disaster?", name)
	}
}

// TestAnIdleSystemRaisesNoAlarm: at night nothing is written, and AWS sends no metric of it.
func TestAnIdleSystemRaisesNoAlarm(t *testing.T) {
	t.Parallel()
	var idle [][]check.Sample
	for range 300 {
		idle = append(idle, samples(t,
			"Leftfold leftfold_shards_behind_seconds service=streamer 0", "Leftfold leftfold_shards_behind_seconds service=broker 0",
			"Leftfold leftfold_loop_age_seconds service=streamer 1",
			"ECS/ContainerInsights RunningTaskCount ClusterName=c,ServiceName=streamer 2",
			"AWS/ApplicationELB HealthyHostCount LoadBalancer=lb,TargetGroup=group 2",
		))
	}
	for _, instances := range observability(t).Resources["aws_cloudwatch_metric_alarm"] {
		for name, alarm := range instances {
			fires, err := check.Fires(alarm, idle)
			require.NoError(t, err, name)
			assert.False(t, fires, name)
		}
	}
}

// TestAReleaseThatShiftsTrafficRaisesNoAlarm: a service's tasks are in one target group, then in both, then in the other one, where they
// stay; of the one that is left AWS sends less and less.
func TestAReleaseThatShiftsTrafficRaisesNoAlarm(t *testing.T) {
	t.Parallel()
	in := func(group, tasks, requests string) []string {
		of := "LoadBalancer=lb,TargetGroup=" + group + " "
		return []string{
			"AWS/ApplicationELB HealthyHostCount " + of + tasks, "AWS/ApplicationELB UnHealthyHostCount " + of + "0",
			"AWS/ApplicationELB RequestCount " + of + requests, "AWS/ApplicationELB TargetResponseTime " + of + "0.02",
		}
	}
	var periods [][]check.Sample
	for _, phase := range [][]string{
		in("group", "2", "1000"),
		slices.Concat(in("group", "2", "1000"), in("alternate", "0", "0")),
		slices.Concat(in("group", "2", "900"), in("alternate", "2", "100")),
		slices.Concat(in("group", "2", "0"), in("alternate", "2", "1000")),
		slices.Concat(in("group", "0", "0"), in("alternate", "2", "1000")),
		in("alternate", "2", "1000"),
	} {
		for range 20 {
			periods = append(periods, samples(t, phase...))
		}
	}
	looked := 0
	for name, alarm := range observability(t).Resources["aws_cloudwatch_metric_alarm"]["expression"] {
		if !strings.HasSuffix(name, "/command-api") {
			continue
		}
		for now := range periods {
			looked++
			fires, err := check.Fires(alarm, slices.Concat(slices.Repeat(periods[:1], 20), periods[:now+1]))
			require.NoError(t, err, name)
			assert.False(t, fires, "%s in period %d", name, now)
		}
	}
	assert.Equal(t, 4*len(periods), looked)
}

// TestBothBuildsRunUntilABadReleaseIsSeen: the alarms that roll a release back are raised while the former build still runs, with a few
// minutes until AWS has the metric, and the apply waits longer than that.
func TestBothBuildsRunUntilABadReleaseIsSeen(t *testing.T) {
	t.Parallel()
	m := observability(t)
	longest, watched := time.Duration(0), 0
	for kind, local := range map[string]string{"this": "flat", "expression": "expressions"} {
		declared := m.Locals[local].AsValueMap()
		for name, alarm := range m.Resources["aws_cloudwatch_metric_alarm"][kind] {
			if of := declared[name]; !of.Type().HasAttribute("rollback") || of.GetAttr("rollback").False() {
				continue
			}
			watched++
			period := alarm.Attributes["period"]
			for _, query := range alarm.Blocks["metric_query"] {
				for _, metric := range query.Blocks["metric"] {
					period = metric.Attributes["period"]
				}
			}
			longest = max(longest, seconds(alarm.Attributes["evaluation_periods"].Multiply(period)))
		}
	}
	require.Greater(t, watched, 5, "%v", m.Blind)
	needed := longest + 4*time.Minute
	minutes := func(v cty.Value) time.Duration { return 60 * seconds(v) }
	for _, strategy := range []string{"blue_green", "canary"} {
		m, _ := serviceModule(t, map[string]cty.Value{"deployment": cty.StringVal(strategy)})
		service := m.Resources["aws_ecs_service"]["this"][""]
		configuration := service.Blocks["deployment_configuration"][0]
		bake := minutes(configuration.Attributes["bake_time_in_minutes"])
		assert.GreaterOrEqual(t, bake, needed, strategy)
		for _, canary := range configuration.Blocks["canary_configuration"] {
			first := minutes(canary.Attributes["canary_bake_time_in_minutes"])
			assert.GreaterOrEqual(t, first, needed)
			bake += first
		}
		assert.GreaterOrEqual(t, duration(t, service.Blocks["timeouts"][0].Text("update")), bake+40*time.Minute, strategy)
	}
}

// matchesEvent reports whether an event has what a pattern of EventBridge asks for.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-patterns.html
func matchesEvent(pattern, event any) bool {
	switch pattern := pattern.(type) {
	case map[string]any:
		event, is := event.(map[string]any)
		for name, of := range pattern {
			is = is && matchesEvent(of, event[name])
		}
		return is
	case []any: // of alternatives, against a value or any of several
		values, several := event.([]any)
		if !several {
			values = []any{event}
		}
		return slices.ContainsFunc(values, func(value any) bool {
			return slices.ContainsFunc(pattern, func(one any) bool {
				if operator, is := one.(map[string]any); is {
					text, _ := value.(string)
					suffix, known := operator["suffix"].(string) // the rules use no other
					return known && strings.HasSuffix(text, suffix)
				}
				return one == value
			})
		})
	}
	return false
}

// TestEventsThatAreNoMetricsNotify: a release that ECS rolls back, a key that is to be deleted or is switched off, and a backup, or its
// copy, that fails. The events are shaped as these pages show them:
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_service_deployment_events.html
// https://docs.aws.amazon.com/kms/latest/developerguide/ct-schedule-key-deletion.html
// https://docs.aws.amazon.com/aws-backup/latest/devguide/eventbridge.html
func TestEventsThatAreNoMetricsNotify(t *testing.T) {
	t.Parallel()
	rules := observability(t).Resources["aws_cloudwatch_event_rule"]["this"]
	rollback := func(event, service string) string {
		return `{"source":"aws.ecs","detail-type":"ECS Deployment State Change","detail":{"eventType":"ERROR","eventName":"` + event + `"},
			"resources":["arn:aws:ecs:us-west-2:111122223333:service/c/` + service + `"]}`
	}
	keys := func(event, key string) string {
		return `{"source":"aws.kms","detail-type":"AWS API Call via CloudTrail","detail":{"eventSource":"kms.amazonaws.com","eventName":"` +
			event + `","requestParameters":{"keyId":"` + key + `","pendingWindowInDays":7}}}`
	}
	job := func(kind, state, table string) string {
		return `{"source":"aws.backup","detail-type":"` + kind + ` Job State Change","resources":[],"detail":{"state":"` + state + `",
			"resourceArn":"arn:table/` + table + `","resourceType":"DynamoDB"}}`
	}
	for _, c := range []struct {
		rule, event string
		notifies    bool
	}{
		{"backup-failed", job("Backup", "FAILED", "EventLog"), true},
		{"backup-failed", job("Backup", "EXPIRED", "EventLog"), true},
		{"backup-failed", job("Copy", "FAILED", "EventLog"), true},
		{"backup-failed", job("Copy", "COMPLETED", "EventLog"), false},
		{"backup-failed", job("Copy", "FAILED", "another"), false},
		{"backup-failed", job("Restore", "FAILED", "EventLog"), false},
		{"deployment-failed", rollback("SERVICE_DEPLOYMENT_FAILED", "streamer"), true},
		{"deployment-failed", rollback("SERVICE_DEPLOYMENT_COMPLETED", "streamer"), false},
		{"deployment-failed", rollback("SERVICE_DEPLOYMENT_FAILED", "another"), false},
		{"key-deletion", keys("ScheduleKeyDeletion", "arn:key/k"), true},
		{"key-deletion", keys("ScheduleKeyDeletion", "k"), true},
		{"key-deletion", keys("DisableKey", "k"), true},
		{"key-deletion", keys("PutKeyPolicy", "k"), true},
		{"key-deletion", keys("DescribeKey", "k"), false},
		{"key-deletion", keys("ScheduleKeyDeletion", "another"), false},
	} {
		var pattern, event any
		require.NoError(t, json.Unmarshal([]byte(rules[c.rule].Text("event_pattern")), &pattern))
		require.NoError(t, json.Unmarshal([]byte(c.event), &event))
		assert.Equal(t, c.notifies, matchesEvent(pattern, event), c.event)
	}
	require.Len(t, rules, 3)
}
