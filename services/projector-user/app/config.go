package app

import (
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/topology"
)

// Config is what projector-user reads beside what every process reads.
type Config struct {
	topology.Names
	service.API
	topology.Consuming
}
