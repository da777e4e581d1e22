package app

import "github.com/leftfold/leftfold/pkg/iam/topology"

// Config is what streamer reads beside what every process reads.
type Config struct {
	topology.EventLogName
	topology.HopNames
	topology.Reading
}
