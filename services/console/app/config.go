package app

import (
	"errors"
	"fmt"

	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/adminclient"
	"github.com/leftfold/leftfold/pkg/service/auth/login"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

// Config is the configuration of the console, in addition to that of every process.
type Config struct {
	topology.EventLogName
	topology.ClaimsName
	topology.SnapshotsName
	topology.HopNames
	topology.TableNames
	topology.ProcessNames
	topology.QueueNames
	service.API
	_      struct{} `group:"Console"`
	APIURL string   `envconfig:"API_URL" default:"http://127.0.0.1:8080" desc:"address of the REST API that the console reads"`
	Admins adminclient.Config
	Login  login.Config
}

// Validate is called by service.LoadConfig.
func (c *Config) Validate() error {
	var errs []error
	if _, err := httpapi.ParseURL(c.APIURL); err != nil {
		errs = append(errs, fmt.Errorf("API_URL=%s: %w", c.APIURL, err))
	}
	return errors.Join(append(errs, c.Login.ValidateFor(&c.Auth))...)
}

// names are those of the AWS resources that the console reads.
func (c *Config) names() topology.Names {
	return topology.Names{
		EventLogName: c.EventLogName,
		CommandNames: topology.CommandNames{ClaimsName: c.ClaimsName, SnapshotsName: c.SnapshotsName}, HopNames: c.HopNames,
		TableNames: c.TableNames, ProcessNames: c.ProcessNames, QueueNames: c.QueueNames,
	}
}
