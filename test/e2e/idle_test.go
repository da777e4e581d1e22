package e2e_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

const costs = "../../docs/costs.md"

// price is that of a million calls at rest.
type price struct {
	operation string // the beginning of its name, after that of a service if only its calls are meant
	dollars   float64
}

// prices are in order: the first that fits counts. docs/costs.md has their sources.
var prices = []price{ // read only
	{"DynamoDB Streams.GetRecords", 0.2},
	{"DynamoDB Streams.", 0},
	{"DynamoDB.DescribeTable", 0},
	{"processor DynamoDB.Query", 0.0625}, // of timers; eventually consistent, and of less than 4 KB, as all of these
	{"DynamoDB.Scan", 0.0625},            // of indexes
	{"DynamoDB.Query", 0.125},
	{"DynamoDB.GetItem", 0.125},
	{"DynamoDB.", 0.625}, // a write of one unit
	{"Kinesis.", 0},
	{"SQS.", 0.5},
}

const hoursOfAMonth = 730

// idleCall is one row of the table of docs/costs.md.
type idleCall struct {
	service, operation string
	anHour             float64
}

func (c idleCall) String() string {
	i := slices.IndexFunc(prices, func(p price) bool {
		return strings.HasPrefix(c.operation, p.operation) || strings.HasPrefix(c.service+" "+c.operation, p.operation)
	})
	return fmt.Sprintf("| %s | %s | %.0f | %.2f |\n", c.service, c.operation, c.anHour, c.anHour*hoursOfAMonth*prices[i].dollars/1e6)
}

var idleRow = regexp.MustCompile(`(?m)^\| ([\w-]+) \| ([\w. ]+) \| (\d+) \| [\d.]+ \|$`) // read only

// TestAnIdleHourCostsWhatIsDocumented counts what one task of each service calls while nothing happens, with the settings of
// production, on virtual time. -update writes the table.
func TestAnIdleHourCostsWhatIsDocumented(t *testing.T) {
	t.Parallel()
	var rows []idleCall
	synctest.Test(t, func(t *testing.T) { rows = callsOfAnIdleHour(t) })
	text, err := os.ReadFile(costs)
	require.NoError(t, err)
	before, stands, after := section(t, string(text), "calls of an idle hour")
	if *update {
		should := "| one task of | calls | an hour | $ a month |\n|---|---|---|---|\n"
		for _, r := range rows {
			should += r.String()
		}
		require.NoError(t, os.WriteFile(costs, []byte(before+should+after), 0o644))
		return
	}
	var documented []idleCall
	for _, m := range idleRow.FindAllStringSubmatch(stands, -1) {
		anHour, err := strconv.ParseFloat(m[3], 64)
		require.NoError(t, err)
		documented = append(documented, idleCall{m[1], m[2], anHour})
	}
	require.Len(t, documented, len(rows), "run: go test ./test/e2e -run %s -update", t.Name())
	for i, r := range rows {
		assert.Equal(t, documented[i].service+" "+documented[i].operation, r.service+" "+r.operation)
		assert.InEpsilon(t, documented[i].anHour, r.anHour, 0.05, "%s %s", r.service, r.operation) // one call more is 2 % at most
	}
}

// callsOfAnIdleHour counts for some minutes and takes the hour from there.
func callsOfAnIdleHour(t *testing.T) (rows []idleCall) {
	t.Helper()
	const counted = 10 * time.Minute
	sys := systemtest.New(t, map[string]string{"STREAM_POLL": "200ms"}, func(p *service.Platform) {
		p.Jitter = func(limit time.Duration) time.Duration { return limit / 2 } // the mean, from which few draws differ too much
	})
	time.Sleep(time.Minute) // the shards have their readers
	before := callsByService(t, sys)
	time.Sleep(counted)
	after := callsByService(t, sys)
	for _, s := range sys.Services() {
		var own []idleCall
		for operation, n := range after[s.Name] {
			if n -= before[s.Name][operation]; n > 0 {
				own = append(own, idleCall{s.Name, operation, n * float64(time.Hour/counted)})
			}
		}
		slices.SortFunc(own, func(a, b idleCall) int { return strings.Compare(a.operation, b.operation) })
		rows = append(rows, own...)
	}
	return rows
}

func callsByService(t *testing.T, sys *systemtest.System) map[string]map[string]float64 {
	t.Helper()
	out := map[string]map[string]float64{}
	for _, s := range sys.Services() {
		calls, err := s.Calls()
		require.NoError(t, err)
		out[s.Name] = calls
	}
	return out
}
