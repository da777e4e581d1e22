// Package report keeps what a comparison saw and writes it as Markdown and JSON.
package report

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/leftfold/leftfold/pkg/iam/capacity"
)

// Results is what a comparison saw, and where.
type Results struct {
	Date       string      `json:"date"`
	Machine    string      `json:"machine"`
	Command    string      `json:"command"`
	Rounds     int         `json:"rounds"`
	Updates    int         `json:"updates"`
	Streams    int         `json:"streams"`
	Writers    int         `json:"writers"`
	BigEvents  int         `json:"bigEvents"`
	Skipped    []string    `json:"skipped,omitempty"` // what is not installed
	Contenders []Contender `json:"contenders"`
}

// Contender is a library used in one way. Of each task it has one result a round, and none of a task that is not offered.
type Contender struct {
	Name      string `json:"name"`
	Variant   string `json:"variant,omitempty"`
	Version   string `json:"version"`
	Language  string `json:"language"`
	Homepage  string `json:"homepage"`
	Licence   string `json:"licence"`
	Runtime   string `json:"runtime,omitempty"`
	Command   string `json:"command"`
	Strengths string `json:"strengths"`
	Notes     string `json:"notes,omitempty"`

	Update []Cost            `json:"update"`
	Open   []Cost            `json:"open"`
	Bare   []Cost            `json:"bare"`
	Race   []Race            `json:"race"`
	Gap    []Gap             `json:"gap"`
	Lost   []Lost            `json:"lost"`
	Unique []Unique          `json:"unique"`
	Big    []Big             `json:"big"`
	Failed map[string]string `json:"failed,omitempty"` // by task: why
}

// Cost is what one command costs.
type Cost struct {
	Calls      float64 `json:"calls"`
	ReadUnits  float64 `json:"readUnits"`
	WriteUnits float64 `json:"writeUnits"`
	CPU        float64 `json:"cpuMilliseconds"`
}

// Minus returns c without o.
func (c Cost) Minus(o Cost) Cost {
	return Cost{c.Calls - o.Calls, c.ReadUnits - o.ReadUnits, c.WriteUnits - o.WriteUnits, c.CPU - o.CPU}
}

// Per divides c by a number of commands.
func (c Cost) Per(n int) Cost {
	by := float64(n)
	return Cost{c.Calls / by, c.ReadUnits / by, c.WriteUnits / by, c.CPU / by}
}

// DollarsPerMillion is the list price of a million such commands, as docs/costs.md has it.
func (c Cost) DollarsPerMillion() float64 {
	return 1e6 * (c.ReadUnits*capacity.ReadUnitPrice + c.WriteUnits*capacity.WriteUnitPrice)
}

// Race is the outcome of several writers that append to one aggregate at once. More accepted than read are lost updates.
type Race struct {
	Accepted int `json:"accepted"`
	Read     int `json:"read"`
}

func (r Race) lost() int { return max(0, r.Accepted-r.Read) }

// Gap says whether an append beyond the end of a stream was accepted.
type Gap struct {
	Accepted bool `json:"accepted"`
}

// Lost is the outcome of one command whose first answer was lost after it was written: the events that are there, and the error that the
// caller got.
type Lost struct {
	Read  int    `json:"read"`
	Error string `json:"error"`
}

// Unique is how many of several aggregates got the same value.
type Unique struct {
	Accepted int `json:"accepted"`
}

// Big is how many events were written to a large aggregate, one after the other until one was refused, and read from it.
type Big struct {
	Written int `json:"written"`
	Read    int `json:"read"`
}

// Title names the contender.
func (c Contender) Title() string {
	if c.Variant == "" {
		return c.Name
	}
	return c.Name + ", " + c.Variant
}

// Fail keeps the error of a task.
func (c *Contender) Fail(task string, err error) {
	if c.Failed == nil {
		c.Failed = map[string]string{}
	}
	c.Failed[task] = err.Error()
}

// Failures returns an error that names each task that failed.
func (r Results) Failures() error {
	var errs []error
	for _, c := range r.Contenders {
		for _, task := range slices.Sorted(maps.Keys(c.Failed)) {
			errs = append(errs, fmt.Errorf("%s: %s: %s", c.Title(), task, c.Failed[task]))
		}
	}
	return errors.Join(errs...)
}
