package app

import (
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service"
)

// Config is what streamer reads beside what every process reads.
type Config struct {
	topology.EventLogName
	topology.HopNames
	service.Shards
}
