package app

import (
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/pkg/service/auth/devissuer"
	broker "github.com/leftfold/leftfold/services/broker/app"
	commandapi "github.com/leftfold/leftfold/services/command-api/app"
	projectorrole "github.com/leftfold/leftfold/services/projector-role/app"
	projectoruser "github.com/leftfold/leftfold/services/projector-user/app"
	streamer "github.com/leftfold/leftfold/services/streamer/app"
)

// AWSConfig is the configuration of the embedded AWS.
type AWSConfig struct {
	service.Config
	_       struct{} `group:"Embedded AWS"`
	AWSAddr string   `envconfig:"AWS_ADDR" default:"127.0.0.1:4566" desc:"address of the embedded AWS (leftfold only)"`
	Names   topology.Names
}

// IssuerConfig is the configuration of the development issuer.
type IssuerConfig struct {
	Process service.Config
	Issuer  devissuer.Config
}

// Config is the configuration of the leftfold program: its own and that of every service in it.
type Config struct {
	AWSConfig
	CommandAPI    commandapi.Config
	Streamer      streamer.Config
	Broker        broker.Config
	ProjectorUser projectoruser.Config
	ProjectorRole projectorrole.Config
}

// Lookup is lookup with defaults that suit one process on a developer's machine: few logs, no tokens, no rate limit, and hops
// that poll the embedded AWS, where it costs nothing, more often.
func Lookup(lookup func(string) (string, bool)) func(string) (string, bool) {
	defaults := map[string]string{
		"ENVIRONMENT": auth.Local, "AUTH_MODE": "none", "RATE_LIMIT": "0",
		"LOG_LEVEL": "warn", "LOG_FORMAT": "text", "STREAM_POLL": "10ms", "STOP_TIMEOUT": "5s",
	}
	return func(key string) (string, bool) {
		if v, ok := lookup(key); ok && v != "" {
			return v, true
		}
		v, ok := defaults[key]
		return v, ok
	}
}
