package app

import (
	"time"

	"github.com/leftfold/leftfold/pkg/topology"
)

// Config is what projector-user reads beside what every process reads.
type Config struct {
	topology.Names
	Visibility time.Duration `env:"QUEUE_VISIBILITY,default=30s" desc:"how long a crashed projector's messages in hand stay hidden, in whole seconds"`
}
