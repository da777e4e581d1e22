package main

import (
	"fmt"
	"time"

	"github.com/leftfold/leftfold/pkg/engine/generation"
	"github.com/leftfold/leftfold/services/leftfold/internal/amount"
)

// course is how a rebuild goes: what is shown while it does, and how long its parts took.
type course struct {
	projection string
	now        func() time.Time

	at                          generation.Progress
	filled, compared            generation.Progress // at the end
	fillFrom, fillTo, compareTo time.Time
}

// follow notes how far the rebuild has come.
func (c *course) follow(at generation.Progress) {
	switch c.at = at; at.Doing {
	case generation.Waiting:
	case generation.Reading:
		if c.fillFrom.IsZero() {
			c.fillFrom = c.now()
		}
		c.filled, c.fillTo = at, c.now()
	case generation.Comparing:
		c.compared, c.compareTo = at, c.now()
	}
}

// String says how far the rebuild has come.
func (c *course) String() string {
	switch at := c.at; at.Doing {
	case generation.Comparing:
		return fmt.Sprintf("%s: comparing, %s and %s so far", c.projection, amount.Of(at.Streams, "stream"), amount.Of(at.Rows, "row"))
	case generation.Reading:
		text := fmt.Sprintf("%s: filling, %s of about %s", c.projection, amount.Of(at.Events, "event"), amount.Digits(at.Expected))
		if rate := float64(at.Fresh) / c.fillTo.Sub(c.fillFrom).Seconds(); at.Fresh > 0 && at.Expected > at.Events {
			left := time.Duration(float64(at.Expected-at.Events)/rate) * time.Second
			text += fmt.Sprintf(", %s a second, about %v left", amount.Digits(int64(rate)), left)
		}
		return text
	default:
		return c.projection + ": waiting until every process knows"
	}
}

// took is what a rebuild did, and how long it took, as it is printed.
type took struct {
	Projection string `json:"projection"`
	// Events were read to fill the next generation.
	Events      int64   `json:"events"`
	FillSeconds float64 `json:"fillSeconds"`
	// Streams and rows were compared.
	Streams        int64   `json:"streams"`
	Rows           int64   `json:"rows"`
	CompareSeconds float64 `json:"compareSeconds"`
}

func (c *course) took() took {
	return took{
		Projection: c.projection, Events: c.filled.Fresh, FillSeconds: c.fillTo.Sub(c.fillFrom).Seconds(),
		Streams: c.compared.Streams, Rows: c.compared.Rows, CompareSeconds: max(c.compareTo.Sub(c.fillTo), 0).Seconds(),
	}
}

func (t took) String() string {
	return fmt.Sprintf("%s: %s read in %.1f s, %s and %s compared in %.1f s", t.Projection, amount.Of(t.Events, "event"), t.FillSeconds,
		amount.Of(t.Streams, "stream"), amount.Of(t.Rows, "row"), t.CompareSeconds)
}

// List prices on demand in us-east-1, as docs/costs.md has them on 23 November 2026.
const (
	dollarsPerMillionReadUnits  = 0.125
	dollarsPerMillionWriteUnits = 0.625
)

// priced says what a rebuild will cost.
func priced(e generation.Estimate) string {
	dollars := float64(e.ReadUnits)/1e6*dollarsPerMillionReadUnits + float64(e.WriteUnits)/1e6*dollarsPerMillionWriteUnits
	return fmt.Sprintf("about %s (%s) and %s: %s read units, %s write units,\n"+
		"$%.2f at list price in us-east-1 of 23 November 2026",
		amount.Of(e.Events, "event"), size(e.Bytes), amount.Of(e.Rows, "row"), amount.Digits(e.ReadUnits), amount.Digits(e.WriteUnits), dollars)
}

func size(bytes int64) string { return fmt.Sprintf("%.1f MB", float64(bytes)/1e6) }
