package app

import (
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service"
)

// Config is what projector-role reads beside what every process reads.
type Config struct {
	topology.EventLogName
	topology.RoleTableName
	topology.RoleQueueName
	service.API
	service.Queue
}
