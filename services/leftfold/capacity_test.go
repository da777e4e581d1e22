package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestCapacitySaysWhatALoadNeedsAndWhichLimitComesFirst(t *testing.T) {
	t.Parallel()
	o := operated{nil, t}
	code, out, failure := o.run("capacity", "--events-per-second", "400")
	assert.Zero(t, code, failure)
	assert.Regexp(t, `(?m)^Kinesis +1 shards +\d+ +twice what the rate takes`, out)
	assert.Regexp(t, `(?m)^together about \$\d+ a month, at list prices of 2026-11-23$`, out)
	assert.Regexp(t, `(?m)^500 +a new table on demand: 4,000 write units/s +grow over 30 minutes`, out)
	code, _, _ = o.run("capacity", "--events-per-second", "600")
	assert.Equal(t, differs, code, "beyond the first limit")
	code, _, failure = o.run("capacity", "--events-per-second", "0", "--streams", "0")
	assert.Equal(t, trouble, code)
	assert.Contains(t, failure, "events per second: want more than 0")
	assert.Contains(t, failure, "streams: want at least 1")
	for _, object := range o.objects(0, "capacity") {
		assert.True(t, object["monthlyUSD"] != nil || object["eventsPerSecond"] != nil, object)
	}
}
