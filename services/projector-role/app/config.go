package app

import (
	"github.com/leftfold/leftfold/pkg/iam/readservice"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service"
)

// Config is the configuration of projector-role, in addition to that of every process.
type Config struct {
	topology.EventLogName
	topology.RoleTableName
	topology.GenerationsName
	topology.RoleQueueName
	readservice.CacheConfig
	readservice.AuditConfig
	service.API
	service.Queue
}
