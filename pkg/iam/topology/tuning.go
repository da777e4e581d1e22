package topology

import (
	"errors"
	"fmt"
	"time"
)

// Reading tunes the services that read shards.
type Reading struct {
	Poll          time.Duration `envconfig:"STREAM_POLL" default:"200ms" desc:"pause after a read of a shard that found nothing"`
	Checkpoint    time.Duration `envconfig:"STREAM_CHECKPOINT" default:"1s" desc:"how much of a shard a crash repeats, beside the batch in hand; at most a third of LEASE_DURATION counts"`
	LeaseDuration time.Duration `envconfig:"LEASE_DURATION" default:"10s" desc:"how long a shard's dead reader keeps others waiting"`
}

// minLease leaves room for the renewals and rounds that a lease needs.
const minLease = time.Second

// Validate is called by service.LoadConfig.
func (r *Reading) Validate() error {
	var errs []error
	if r.Poll <= 0 {
		errs = append(errs, fmt.Errorf("STREAM_POLL=%s: want more than 0", r.Poll))
	}
	if r.Checkpoint <= 0 {
		errs = append(errs, fmt.Errorf("STREAM_CHECKPOINT=%s: want more than 0", r.Checkpoint))
	}
	if r.LeaseDuration < minLease {
		errs = append(errs, fmt.Errorf("LEASE_DURATION=%s: want at least %s", r.LeaseDuration, minLease))
	}
	return errors.Join(errs...)
}

// Consuming tunes the services that consume a queue.
type Consuming struct {
	Visibility time.Duration `envconfig:"QUEUE_VISIBILITY" default:"30s" desc:"how long a crashed projector's messages in hand stay hidden, in whole seconds"`
}

// maxVisibility is the longest SQS allows:
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html
const maxVisibility = 12 * time.Hour

// Validate is called by service.LoadConfig.
func (c *Consuming) Validate() error {
	if c.Visibility < time.Second || c.Visibility > maxVisibility || c.Visibility%time.Second != 0 {
		return fmt.Errorf("QUEUE_VISIBILITY=%s: want 1s to 12h in whole seconds", c.Visibility)
	}
	return nil
}
