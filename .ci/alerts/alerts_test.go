package alerts_test

import (
	"maps"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// healthy is what a system reports for an hour of which nothing is wrong, with some load.
var healthy = []string{
	`up{job="leftfold",service="command-api"} 1x60`,
	`up{job="leftfold",service="streamer"} 1x60`,
	`up{job="leftfold",service="broker"} 1x60`,
	`up{job="leftfold",service="projector-user"} 1x60`,
	`up{job="leftfold",service="projector-role"} 1x60`,
	`up{job="leftfold",service="projector-audit"} 1x60`,
	`up{job="leftfold",service="processor"} 1x60`,
	`up{job="leftfold",service="console"} 1x60`,

	`leftfold_http_request_seconds_count{service="command-api",method="POST",route="/users",status="202"} 0+600x60`,
	`leftfold_http_request_seconds_count{service="command-api",method="POST",route="/users",status="503"} 0+1x60`,
	`leftfold_log_hole_total{service="command-api"} 0x60`,
	`leftfold_unknown_events_total{service="command-api"} 0x60`,
	`leftfold_aws_calls_total{service="command-api",api="DynamoDB",operation="PutItem",outcome="ok"} 0+600x60`,
	`leftfold_aws_calls_total{service="command-api",api="DynamoDB",operation="PutItem",outcome="failed"} 0+1x60`,
	`leftfold_aws_calls_total{service="command-api",api="DynamoDB",operation="PutItem",outcome="throttled"} 0+1x60`,

	`leftfold_publish_seconds_count{service="streamer"} 0+600x60`,
	`leftfold_publish_refused_total{service="streamer"} 0x60`,
	`leftfold_publish_undecodable_total{service="streamer"} 0x60`,
	`leftfold_route_seconds_count{service="broker"} 0+600x60`,
	`leftfold_route_refused_total{service="broker"} 0x60`,
	`leftfold_route_undecodable_total{service="broker"} 0x60`,
	`leftfold_aws_calls_total{service="broker",api="Kinesis",operation="GetRecords",outcome="ok"} 0+240x60`,
	`leftfold_aws_calls_total{service="broker",api="Kinesis",operation="GetRecords",outcome="throttled"} 0+8x60`,
	`leftfold_shards_behind_seconds{service="broker",consumer="broker",shard="0"} 0.2x60`,
	`leftfold_shards_checkpoint_age_seconds{service="broker",consumer="broker",shard="0"} 1x60`,
	`leftfold_shards_poll_age_seconds{service="broker",consumer="broker",shard="0"} 0.2x60`,
	`leftfold_shards_stuck_total{service="broker",consumer="broker"} 0x60`,
	`leftfold_shards_trimmed_total{service="broker",consumer="broker"} 0x60`,
	`leftfold_shards_source_replaced_total{service="broker",consumer="broker"} 0x60`,
	`leftfold_shards_unreadable_leases_total{service="broker",consumer="broker"} 0x60`,
	`leftfold_shards_list_failures_total{service="broker",consumer="broker"} 0x60`,

	`leftfold_fifoqueue_poll_age_seconds{service="projector-user",queue="IamUserQueue.fifo"} 15x60`,
	`leftfold_fifoqueue_oldest_age_seconds{service="projector-user",queue="IamUserQueue.fifo"} 2x60`,
	`leftfold_fifoqueue_rejected_total{service="projector-user",queue="IamUserQueue.fifo"} 0x60`,
	`leftfold_loop_age_seconds{service="projector-user",loop="poll"} 10x60`,
	`leftfold_project_seconds_bucket{service="projector-user",projection="users",le="1"} 0+590x60`,
	`leftfold_project_seconds_bucket{service="projector-user",projection="users",le="10"} 0+600x60`,
	`leftfold_project_seconds_bucket{service="projector-user",projection="users",le="+Inf"} 0+600x60`,
	`leftfold_projection_applied_total{service="projector-user",projection="users",category="org/iam/user"} 0+600x60`,
	`leftfold_projection_healed_total{service="projector-user",projection="users",category="org/iam/user"} 0+1x60`,
	`leftfold_projection_parked_total{service="projector-user",projection="users",category="org/iam/user"} 0x60`,
	`leftfold_projection_log_hole_total{service="projector-user",projection="users",category="org/iam/user"} 0x60`,
	`leftfold_projection_bad_rows_total{service="projector-user",projection="users"} 0x60`,
	`leftfold_projection_rebuild_due{service="projector-user",projection="users"} 0x60`,
	`leftfold_projection_audit_differences_total{service="projector-user",projection="users",kind="stale"} 0x60`,
	`leftfold_projection_audit_late{service="projector-user",projection="users"} 0x60`,

	`leftfold_timers_parked{service="processor",category="org/iam/process/grants"} 0x60`,
	`leftfold_timers_stuck{service="processor",category="org/iam/process/grants"} 0x60`,
	`leftfold_process_calls_denied_total{service="processor",command="expire"} 0x60`,
}

// disasters are what an alert is for: the series that are not as in a healthy system. An alert may have several.
var disasters = []struct {
	alert  string
	series []string
}{
	{"ReadModelsLate", []string{ // each 50th takes longer than 10 s
		`leftfold_project_seconds_bucket{service="projector-user",projection="users",le="10"} 0+588x60`,
		`leftfold_project_seconds_bucket{service="projector-user",projection="users",le="1"} 0+500x60`,
	}},
	{"ReaderBehind", []string{`leftfold_shards_behind_seconds{service="broker",consumer="broker",shard="0"} 0x30 0+30x29`}},
	{"NothingPublished", []string{`leftfold_publish_seconds_count{service="streamer"} 600x60`}},
	{"NothingPublished", []string{`leftfold_publish_seconds_count{service="streamer"} _x61`}}, // none was ever published
	{"NothingRouted", []string{`leftfold_route_seconds_count{service="broker"} 600x60`}},
	{"LeaseNotRenewed", []string{`leftfold_shards_checkpoint_age_seconds{service="broker",consumer="broker",shard="0"} 1x30 0+60x29`}},
	{"ShardStuck", []string{`leftfold_shards_stuck_total{service="broker",consumer="broker"} 0x30 1x29`}},
	{"NothingPolled", []string{`leftfold_shards_poll_age_seconds{service="broker",consumer="broker",shard="0"} 1x30 0+60x29`}},
	{"NothingPolled", []string{`leftfold_fifoqueue_poll_age_seconds{service="projector-user",queue="IamUserQueue.fifo"} 1x30 0+60x29`}},
	{"LoopHangs", []string{`leftfold_loop_age_seconds{service="projector-user",loop="poll"} 10x30 0+60x29`}},
	{"MessageStuck", []string{`leftfold_fifoqueue_oldest_age_seconds{service="projector-user",queue="IamUserQueue.fifo"} 2x30 0+60x29`}},
	{"AggregateParked", []string{
		`leftfold_projection_parked_total{service="projector-user",projection="users",category="org/iam/user"} 0x30 1x29`,
	}},
	{"ProcessParked", []string{`leftfold_timers_parked{service="processor",category="org/iam/process/grants"} 0x30 1x29`}},
	{"ProcessStuck", []string{`leftfold_timers_stuck{service="processor",category="org/iam/process/grants"} 0x30 1x29`}},
	{"ProcessDenied", []string{`leftfold_process_calls_denied_total{service="processor",command="expire"} 0x30 1x29`}},
	{"UnknownEvent", []string{`leftfold_unknown_events_total{service="command-api"} 0x30 1x29`}},
	{"LogHole", []string{`leftfold_log_hole_total{service="command-api"} 0x30 1x29`}},
	{"LogHole", []string{
		`leftfold_projection_log_hole_total{service="projector-user",projection="users",category="org/iam/user"} 0x30 1x29`,
	}},
	{"RowsUnreadable", []string{`leftfold_projection_bad_rows_total{service="projector-user",projection="users"} 0x30 1x29`}},
	{"RowsDiffer", []string{
		`leftfold_projection_audit_differences_total{service="projector-user",projection="users",kind="stale"} 0x30 1x29`,
	}},
	{"AuditLate", []string{`leftfold_projection_audit_late{service="projector-user",projection="users"} 0x5 1x54`}},
	{"RebuildDue", []string{`leftfold_projection_rebuild_due{service="projector-user",projection="users"} 0x5 1x54`}},
	{"Unreadable", []string{`leftfold_fifoqueue_rejected_total{service="projector-user",queue="IamUserQueue.fifo"} 0x30 1x29`}},
	{"Unreadable", []string{`leftfold_publish_undecodable_total{service="streamer"} 0x30 1x29`}},
	{"Unreadable", []string{`leftfold_route_undecodable_total{service="broker"} 0x30 1x29`}},
	{"Refused", []string{`leftfold_publish_refused_total{service="streamer"} 0x30 1x29`}},
	{"Refused", []string{`leftfold_route_refused_total{service="broker"} 0x30 1x29`}},
	{"LeaseUnreadable", []string{`leftfold_shards_unreadable_leases_total{service="broker",consumer="broker"} 0x30 1x29`}},
	{"RecordsTrimmed", []string{`leftfold_shards_trimmed_total{service="broker",consumer="broker"} 0x30 1x29`}},
	{"SourceReplaced", []string{`leftfold_shards_source_replaced_total{service="broker",consumer="broker"} 0x30 1x29`}},
	{"SourceMissing", []string{`leftfold_shards_list_failures_total{service="broker",consumer="broker"} 0x30 0+6x29`}},
	{"Gaps", []string{ // one of 20
		`leftfold_projection_healed_total{service="projector-user",projection="users",category="org/iam/user"} 0+30x60`,
	}},
	{"AWSThrottles", []string{
		`leftfold_aws_calls_total{service="command-api",api="DynamoDB",operation="PutItem",outcome="throttled"} 0+120x60`,
	}},
	{"ReadsRefused", []string{ // another reader takes three of five
		`leftfold_aws_calls_total{service="broker",api="Kinesis",operation="GetRecords",outcome="ok"} 0+120x60`,
		`leftfold_aws_calls_total{service="broker",api="Kinesis",operation="GetRecords",outcome="throttled"} 0+60x60`,
	}},
	{"AWSFails", []string{`leftfold_aws_calls_total{service="command-api",api="DynamoDB",operation="PutItem",outcome="failed"} 0+60x60`}},
	{"CommandsFail", []string{
		`leftfold_http_request_seconds_count{service="command-api",method="POST",route="/users",status="503"} 0+12x60`,
	}},
	{"ServiceAway", []string{`up{job="leftfold",service="broker"} 1x30 0x29`}}, // it does not answer
	{"ServiceAway", []string{`up{job="leftfold",service="broker"} 1x30 _x30`}}, // there is none
}

func TestAHealthySystemRaisesNoAlert(t *testing.T) {
	t.Parallel()
	h := read(t, healthy...)
	for _, a := range alerts(t) {
		assert.False(t, h.fires(t, a), a.Name)
	}
}

func TestEachAlertIsRaisedByItsDisaster(t *testing.T) {
	t.Parallel()
	byName := map[string]alert{}
	for _, a := range alerts(t) {
		byName[a.Name] = a
	}
	covered := map[string]bool{}
	for _, d := range disasters {
		a, exists := byName[d.alert]
		require.True(t, exists, d.alert)
		covered[d.alert] = true
		h, disaster := read(t, healthy...), read(t, d.series...)
		for of := range disaster {
			require.Contains(t, h, of, "%s: a healthy system has the series, too", d.alert)
		}
		maps.Copy(h, disaster)
		assert.True(t, h.fires(t, a), "%s is not raised by %v", d.alert, d.series)
	}
	for name := range byName {
		assert.True(t, covered[name], "%s: what is its disaster?", name)
	}
}

// TestAHealthySystemHasEveryMetricOfAnAlert: an alert of which it has no metric would be silent for that reason.
func TestAHealthySystemHasEveryMetricOfAnAlert(t *testing.T) {
	t.Parallel()
	h := read(t, healthy...)
	for _, a := range alerts(t) {
		expression, err := promQL.ParseExpr(a.Expr)
		require.NoError(t, err, a.Name)
		for _, selectors := range parser.ExtractSelectors(expression) {
			found := false
			for _, s := range h {
				found = found || matches(s.labels, selectors)
			}
			assert.True(t, found, "%s: %v", a.Name, selectors)
		}
	}
}
