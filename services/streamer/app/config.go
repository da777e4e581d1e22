package app

import (
	"time"

	"github.com/leftfold/leftfold/pkg/topology"
)

// Config is what streamer reads beside what every process reads.
type Config struct {
	topology.Names
	Poll          time.Duration `env:"STREAM_POLL,default=200ms" desc:"pause after a read of a shard that found nothing"`
	LeaseDuration time.Duration `env:"LEASE_DURATION,default=10s" desc:"how long a shard's dead reader keeps others waiting"`
}
