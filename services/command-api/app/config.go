package app

import (
	"errors"
	"fmt"
	"time"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service"
)

// maxSnapshotEvery is about what one call of DynamoDB can read; with fewer snapshots, none would be read.
const maxSnapshotEvery = 10_000

// Config is the configuration of command-api, in addition to that of every process.
type Config struct {
	topology.EventLogName
	topology.CommandNames
	service.API
	_             struct{}      `group:"Commands"`
	MaxAttempts   int           `envconfig:"COMMAND_MAX_ATTEMPTS" desc:"decisions of one command under conflicts, at least 1"`
	Timeout       time.Duration `envconfig:"COMMAND_TIMEOUT" default:"10s" desc:"longest time one command may take"`
	Cache         int           `envconfig:"COMMAND_CACHE" default:"10000" desc:"users, and as many roles, whose state is kept in memory; 0: none"`
	SnapshotEvery int           `envconfig:"SNAPSHOT_EVERY" default:"100" desc:"events between two snapshots of a user's or role's state, which save reading earlier events; 0: none"`
}

// SetDefaults is called by service.LoadConfig.
func (c *Config) SetDefaults() { c.MaxAttempts = eventsourcing.DefaultMaxAttempts }

// Validate is called by service.LoadConfig.
func (c *Config) Validate() error {
	var errs []error
	if c.MaxAttempts < 1 {
		errs = append(errs, fmt.Errorf("COMMAND_MAX_ATTEMPTS=%d: want at least 1", c.MaxAttempts))
	}
	if c.Timeout <= 0 {
		errs = append(errs, fmt.Errorf("COMMAND_TIMEOUT=%s: want more than 0", c.Timeout))
	}
	if c.Cache < 0 {
		errs = append(errs, fmt.Errorf("COMMAND_CACHE=%d: want 0 or more", c.Cache))
	}
	if c.SnapshotEvery < 0 || c.SnapshotEvery > maxSnapshotEvery {
		errs = append(errs, fmt.Errorf("SNAPSHOT_EVERY=%d: want 0 to %d", c.SnapshotEvery, maxSnapshotEvery))
	}
	return errors.Join(errs...)
}
