package service

import (
	"errors"
	"fmt"
	"time"

	"github.com/leftfold/leftfold/pkg/engine/fifoqueue"
	"github.com/leftfold/leftfold/pkg/engine/shards"
)

// Shards is the configuration of every service that reads shards, in addition to Config.
type Shards struct {
	_             struct{}      `group:"Reading of streams"`
	Poll          time.Duration `envconfig:"STREAM_POLL" desc:"shortest pause between two reads of a shard that has no more records"`
	PollIdle      time.Duration `envconfig:"STREAM_POLL_IDLE" desc:"longest pause, which an idle shard's reads reach, and refused ones; 0s: one and a half times STREAM_POLL"`
	Checkpoint    time.Duration `envconfig:"STREAM_CHECKPOINT" desc:"how much of a shard a crash repeats, in addition to the batch in flight; at most a third of LEASE_DURATION counts"`
	LeaseDuration time.Duration `envconfig:"LEASE_DURATION" desc:"how long a shard waits for another reader after its reader has died"`
}

// minLease leaves room for the renewals and rounds that a lease needs.
const minLease = time.Second

// SetDefaults is called by LoadConfig.
func (s *Shards) SetDefaults() {
	s.Poll, s.Checkpoint, s.LeaseDuration = shards.DefaultPoll, shards.DefaultCheckpoint, shards.DefaultLeaseDuration
}

// Validate is called by LoadConfig.
func (s *Shards) Validate() error {
	var errs []error
	if s.Poll <= 0 {
		errs = append(errs, fmt.Errorf("STREAM_POLL=%s: want more than 0", s.Poll))
	}
	if s.PollIdle != 0 && s.PollIdle < s.Poll {
		errs = append(errs, fmt.Errorf("STREAM_POLL_IDLE=%s: want at least STREAM_POLL=%s, or 0s", s.PollIdle, s.Poll))
	}
	if s.Checkpoint <= 0 {
		errs = append(errs, fmt.Errorf("STREAM_CHECKPOINT=%s: want more than 0", s.Checkpoint))
	}
	if s.LeaseDuration < minLease {
		errs = append(errs, fmt.Errorf("LEASE_DURATION=%s: want at least %s", s.LeaseDuration, minLease))
	}
	return errors.Join(errs...)
}

// Queue is the configuration of every service that consumes a queue, in addition to Config.
type Queue struct {
	_          struct{}      `group:"Reading of queues"`
	Visibility time.Duration `envconfig:"QUEUE_VISIBILITY" desc:"how long messages in flight stay hidden after their projector has crashed, in whole seconds"`
}

// SetDefaults is called by LoadConfig.
func (q *Queue) SetDefaults() { q.Visibility = fifoqueue.DefaultVisibility }

// Validate is called by LoadConfig.
func (q *Queue) Validate() error {
	if q.Visibility < time.Second || q.Visibility > fifoqueue.MaxVisibility || q.Visibility%time.Second != 0 {
		return fmt.Errorf("QUEUE_VISIBILITY=%s: want 1s to 12h in whole seconds", q.Visibility)
	}
	return nil
}
