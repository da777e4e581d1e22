package app

import (
	"github.com/leftfold/leftfold/pkg/iam/readservice"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service"
)

// Config is the configuration of projector-audit, in addition to that of every process.
type Config struct {
	topology.EventLogName
	topology.TrailTableName
	topology.GenerationsName
	topology.TrailQueueName
	readservice.CacheConfig
	readservice.AuditConfig
	service.API
	service.Queue
}
