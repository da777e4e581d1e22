package app

import (
	"github.com/leftfold/leftfold/pkg/process"
	"github.com/leftfold/leftfold/pkg/topology"
)

// Config is what projector-role reads beside what every process reads.
type Config struct {
	topology.Names
	process.API
	topology.Consuming
}
