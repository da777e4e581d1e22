// Package capacity calculates what a load needs of AWS, what that costs at list price, and which limit is met first. It measures
// nothing: docs/capacity.md says where each number comes from.
package capacity

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Load is what is to be carried.
type Load struct {
	// EventsPerSecond is the rate of commands, each of one event.
	EventsPerSecond float64
	// EventBytes is the size of an event's item in the log.
	EventBytes int
	// Keyed says that clients send an Idempotency-Key, whose result is written with the event.
	Keyed bool
	// Streams is how many aggregates there are, and EventsPerStream how many events each has in the end.
	Streams, EventsPerStream int
	// Queues is how many projections get each event, and Listed in how many of them its row is in a list.
	Queues, Listed int
	// Entries is how many entries one of the projections writes for each event beside a row; 0: none does.
	Entries int
}

// Validate reports all mistakes at once.
func (l Load) Validate() error {
	var errs []error
	for _, of := range []struct {
		is   bool
		text string
	}{
		{!(l.EventsPerSecond > 0) || l.EventsPerSecond > 1e6, "events per second: want more than 0, up to 1,000,000"},
		{l.EventBytes < 1 || l.EventBytes > 400_000, "event bytes: want 1 to 400,000"},
		{l.Streams < 1, "streams: want at least 1"},
		{l.EventsPerStream < 1, "events per stream: want at least 1"},
	} {
		if of.is {
			errs = append(errs, errors.New(of.text))
		}
	}
	return errors.Join(errs...)
}

// What an event costs in calls, in a backlog, where batches are full. TestAWSCallsOfABacklogStayUnderTheirCeilings holds them against
// what the embedded AWS counts.
const (
	// SQSCallsPerEvent is for each queue: a send, a receive and a delete of ten messages.
	SQSCallsPerEvent = 3.0 / 10
	// RowWritesPerEvent is for each queue, at most; in a backlog several events of a row share one.
	RowWritesPerEvent = 1
	// RowReadsPerEvent is for each queue, with two tasks that share it: a task reads a row that the other one has written last.
	RowReadsPerEvent = 0.5
)

// PricesAsOf is when the prices of docs/costs.md were looked up.
const PricesAsOf = "2026-11-23"

// List prices in US dollars, of us-east-1; docs/costs.md has their sources.
const (
	WriteUnitPrice  = 0.625e-6       // of DynamoDB on demand
	ReadUnitPrice   = 0.125e-6       // as well
	StreamReadPrice = 0.02 / 100_000 // of GetRecords of a table's stream
	PutUnitPrice    = 0.014e-6       // of a record put into Kinesis, for each 25 KB
	SQSRequestPrice = 0.50e-6        // of a FIFO queue
)

const (
	gbMonth     = 0.25 + 0.20 // with point in time recovery
	shardHour   = 0.015 + 0.020
	vCPUHour    = 0.03238
	gbHour      = 0.00356
	idleOfAll   = 310 // endpoints, NAT gateways, load balancer, addresses, alarms, keys
	hours       = 730.0
	monthInSecs = hours * 3600
	pollsOfLog  = 5 // a second and partition, of the log's stream
)

// Limits of AWS.
const (
	shardRecords = 1000  // a second: https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html
	shardBytes   = 1e6   // a second, as above
	putBytes     = 25e3  // of a payload unit
	tableUnits   = 40000 // a second: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html
	newUnits     = 4000  // a second: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html
	partUnits    = 1000  // a second and partition, as above
	kb           = 1024
	entryBytes   = 550 // a line of the audit trail, and what DynamoDB counts besides
)

// Shares of a task, assumed and not measured on AWS (docs/costs.md).
const (
	commandsOfTask = 170 // a second, 0.5 vCPU
	eventsOfTask   = 500 // a second, of the streamer and the broker, 0.25 vCPU
	appliedOfTask  = 200 // a second, of a projector, 0.25 vCPU
	leastTasks     = 2   // of each service, in two zones
	headroom       = 2.0 // of shards: keys are not spread evenly, and a backlog is to be caught up
	oneStream      = 100 // events a second of one stream: each hop sends its next event when the one before is acknowledged
)

// Need is a resource, how much of it, and its price a month.
type Need struct {
	Resource string  `json:"resource"`
	Amount   string  `json:"amount"`
	Monthly  float64 `json:"monthlyUSD"`
	As       string  `json:"calculatedAs"`
}

// Limit is where a limit is met.
type Limit struct {
	Limit string `json:"limit"`
	// EventsPerSecond is the load, of this mix, that meets it.
	EventsPerSecond float64 `json:"eventsPerSecond"`
	Raise           string  `json:"raise"`
}

// Plan is the result.
type Plan struct {
	Needs   []Need
	Limits  []Limit // the first one first
	Monthly float64
}

// units are an item's write units; a transaction costs twice as many.
func units(bytes int) float64 { return math.Ceil(float64(bytes) / kb) }

// appendUnits are those of a command.
func (l Load) appendUnits() float64 {
	if l.Keyed {
		return 2 * (units(l.EventBytes) + 1)
	}
	return units(l.EventBytes)
}

// entryUnits are those of the projection with entries, beyond those of a row: all are written in a transaction.
func (l Load) entryUnits() float64 {
	if l.Entries == 0 {
		return 0
	}
	return 2*float64(1+l.Entries) - RowWritesPerEvent
}

// Shards is how many shards of Kinesis are needed.
func (l Load) Shards() int {
	perShard := min(shardRecords, shardBytes/float64(l.EventBytes))
	return int(max(1, math.Ceil(headroom*l.EventsPerSecond/perShard)))
}

// Plan calculates the needs and the limits of a valid load.
func (l Load) Plan() Plan {
	e, monthly := l.EventsPerSecond, l.EventsPerSecond*monthInSecs
	queues := float64(l.Queues)
	rowUnits, rowReads := RowWritesPerEvent*queues+float64(l.Listed)+l.entryUnits(), RowReadsPerEvent*queues
	sqs := SQSCallsPerEvent * queues
	gb := float64(l.Streams) * (float64(l.EventsPerStream)*float64(l.EventBytes+l.Entries*entryBytes) + queues*kb) / 1e9
	shards := l.Shards()
	tasks := func(each float64) int { return int(max(leastTasks, math.Ceil(e/each))) }
	large, small := tasks(commandsOfTask), 2*tasks(eventsOfTask)+l.Queues*tasks(appliedOfTask)
	p := Plan{Needs: []Need{
		{
			"DynamoDB, append", fmt.Sprintf("%.0f write units/s", e*l.appendUnits()), monthly * l.appendUnits() * WriteUnitPrice,
			fmt.Sprintf("%.0f units an event of %d bytes, Idempotency-Key: %t", l.appendUnits(), l.EventBytes, l.Keyed),
		},
		{
			"DynamoDB, read models", fmt.Sprintf("%.0f write, %.0f read units/s", e*rowUnits, e*rowReads),
			monthly * (rowUnits*WriteUnitPrice + rowReads*ReadUnitPrice),
			fmt.Sprintf("a row in each of %d, its index in %d, %d entries in one", l.Queues, l.Listed, l.Entries),
		},
		{
			"DynamoDB, storage", fmt.Sprintf("%.1f GB", gb), gb * gbMonth,
			fmt.Sprintf("all streams with all their events and entries, rows of 1 KB, with recovery; %.0f GB a month come at this rate",
				monthly*float64(l.EventBytes+l.Entries*entryBytes)/1e9),
		},
		{
			"DynamoDB, log's stream", fmt.Sprintf("%d partitions", l.partitions()),
			float64(l.partitions()) * pollsOfLog * monthInSecs * StreamReadPrice,
			"each polled every 200 ms",
		},
		{
			"Kinesis", fmt.Sprintf("%d shards", shards),
			float64(shards)*shardHour*hours + monthly*math.Ceil(float64(l.EventBytes)/putBytes)*PutUnitPrice,
			"twice what the rate takes, kept for 7 days",
		},
		{
			"SQS FIFO", fmt.Sprintf("%.0f requests/s", e*sqs), monthly * sqs * SQSRequestPrice,
			"full batches of ten; up to 3 requests an event and queue if not",
		},
		{
			"Fargate", fmt.Sprintf("%d tasks of 0.5 vCPU, %d of 0.25", large, small),
			hours * (float64(large)*(0.5*vCPUHour+gbHour) + float64(small)*(0.25*vCPUHour+0.5*gbHour)), "assumed, not measured on AWS",
		},
		{"the rest", "as idle", idleOfAll, "endpoints, NAT gateways, load balancer, addresses, alarms, keys"},
	}}
	for _, n := range p.Needs {
		p.Monthly += n.Monthly
	}
	p.Limits = l.limits()
	return p
}

// partitions of the log, by throughput and by size, of 10 GB each; a new table on demand has 4.
func (l Load) partitions() int {
	bySize := float64(l.Streams) * float64(l.EventsPerStream) * float64(l.EventBytes) / 10e9
	return int(max(4, math.Ceil(l.EventsPerSecond*l.appendUnits()/partUnits), math.Ceil(bySize)))
}

func (l Load) limits() []Limit {
	perQueue := SQSCallsPerEvent / 3 // of each API action
	inLog := units(l.EventBytes)
	if l.Keyed {
		inLog *= 2
	}
	inTable := max(inLog, RowWritesPerEvent+l.entryUnits())
	limits := []Limit{
		{
			"a stream: one event after the other", oneStream * float64(l.Streams),
			"if all streams are equally busy; split an aggregate of which one stream alone has 100 events a second",
		},
		{
			"a new table on demand: 4,000 write units/s", newUnits / inTable,
			"grow over 30 minutes for each doubling, or set the table's warm throughput before",
		},
		{"a table: 40,000 write units/s", tableUnits / inTable, "ask for a higher quota of DynamoDB's write throughput of a table"},
		{
			fmt.Sprintf("Kinesis with %d shards", l.Shards()), float64(l.Shards()) * min(shardRecords, shardBytes/float64(l.EventBytes)),
			"add shards: stream_shards in Terraform; readers follow",
		},
	}
	for _, of := range []struct {
		regions string
		calls   float64
	}{ // https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
		{"most regions", 2400},
		{"Ohio, Frankfurt", 19000},
		{"N. Virginia, Oregon, Ireland", 70000},
	} {
		limits = append(limits, Limit{
			fmt.Sprintf("a FIFO queue, %.0f requests/s and action (%s)", of.calls, of.regions), of.calls / perQueue,
			"ask for a higher quota of high throughput for FIFO queues",
		})
	}
	slices.SortStableFunc(limits, func(a, b Limit) int { return cmp.Compare(a.EventsPerSecond, b.EventsPerSecond) })
	return limits
}
