package app

import (
	"fmt"
	"time"

	"github.com/leftfold/leftfold/pkg/topology"
)

// Config is what broker reads beside what every process reads.
type Config struct {
	topology.Names
	topology.Reading
	Retention time.Duration `env:"STREAM_RETENTION,default=24h" desc:"how long the Kinesis stream keeps records; what is older is read from the log"`
}

// Validate implements the check of process.LoadConfig.
func (c *Config) Validate() error {
	if c.Retention < time.Hour {
		return fmt.Errorf("STREAM_RETENTION=%s: want what the stream is set to, 24h or more", c.Retention)
	}
	return nil
}
