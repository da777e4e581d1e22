package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/leftfold/leftfold/pkg/engine/generation"
)

// The rate and what is left count from the fill's beginning, and of a rebuild that continues only what is fresh.
func TestTheCourseOfARebuildIsShown(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(0)
	c := course{projection: "users", now: func() time.Time { return now }}
	after := func(pause time.Duration, at generation.Progress) string {
		now = now.Add(pause)
		c.follow(at)
		return c.String()
	}
	assert.Equal(t, took{Projection: "users"}, c.took())
	assert.Equal(t, "users: waiting until every process knows", after(0, generation.Progress{Doing: generation.Waiting}))
	assert.Equal(t, "users: filling, 500 events of about 2,000",
		after(4*time.Second, generation.Progress{Doing: generation.Reading, Events: 500, Expected: 2000}))
	assert.Equal(t, "users: filling, 1,500 events of about 2,000, 100 a second, about 5s left",
		after(10*time.Second, generation.Progress{Doing: generation.Reading, Events: 1500, Fresh: 1000, Expected: 2000}))
	after(5*time.Second, generation.Progress{Doing: generation.Reading, Events: 2000, Fresh: 1500, Expected: 2000})
	assert.Equal(t, "users: comparing, 7 streams and 8 rows so far",
		after(2*time.Second, generation.Progress{Doing: generation.Comparing, Streams: 7, Rows: 8}))
	after(4*time.Second, generation.Progress{Doing: generation.Waiting})
	assert.Equal(t, took{Projection: "users", Events: 1500, FillSeconds: 15, Streams: 7, Rows: 8, CompareSeconds: 2}, c.took())
}
