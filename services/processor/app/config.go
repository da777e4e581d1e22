package app

import (
	"errors"
	"fmt"
	"time"

	"github.com/leftfold/leftfold/pkg/iam/readservice"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/services/processor/internal/calls"
)

// Config is the configuration of processor, in addition to that of every process.
type Config struct {
	topology.EventLogName
	topology.ProcessNames
	topology.LeasesName
	topology.SnapshotsName
	topology.ProcessQueueName
	service.API
	auth.Credentials
	service.Queue
	Cache      readservice.CacheConfig
	Calls      calls.Config
	_          struct{}      `group:"Processes"`
	StuckAfter time.Duration `envconfig:"PROCESS_STUCK_AFTER" default:"10m" desc:"how long a timer or a command of a process may wait after its time before it counts as stuck"`
	RevokeRate float64       `envconfig:"RETIREMENT_RATE" default:"20" desc:"users a second from whom a processor takes the roles that are retired, all of them together, at least 0.01; 0: no limit"`
}

// minRevokeRate keeps the time for a page of members in bounds: at most five days.
const minRevokeRate = 0.01

// Validate is called by service.LoadConfig.
func (c *Config) Validate() error {
	errs := []error{c.ValidateFor(&c.Auth)}
	if c.StuckAfter <= 0 {
		errs = append(errs, fmt.Errorf("PROCESS_STUCK_AFTER=%s: want more than 0", c.StuckAfter))
	}
	if c.RevokeRate != 0 && c.RevokeRate < minRevokeRate {
		errs = append(errs, fmt.Errorf("RETIREMENT_RATE=%g: want 0 for no limit, or at least %g", c.RevokeRate, minRevokeRate))
	}
	return errors.Join(errs...)
}
