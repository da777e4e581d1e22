package app

import (
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service"
)

// The ways to read the Kinesis stream.
const (
	polling = "polling"
	fanOut  = "fanout"
)

// Config is the configuration of broker, in addition to that of every process.
type Config struct {
	topology.EventLogName
	topology.HopNames
	topology.QueueNames
	service.Shards
	_         struct{}      `group:"Reading of streams"`
	Retention time.Duration `envconfig:"STREAM_RETENTION" default:"24h" desc:"how long the Kinesis stream keeps records; what is older is read from the log"`
	Mode      string        `envconfig:"STREAM_MODE" default:"polling" desc:"how Kinesis is read: polling, or fanout for enhanced fan-out, which AWS charges for"`
	FanOut    string        `envconfig:"STREAM_FANOUT_CONSUMER" default:"leftfold-broker" names:"stream consumer" desc:"the stream's consumer for enhanced fan-out, registered if it does not exist"`
}

// Validate is called by service.LoadConfig.
func (c *Config) Validate() error {
	var errs []error
	if c.Retention < time.Hour {
		errs = append(errs, fmt.Errorf("STREAM_RETENTION=%s: want what the stream is set to, 24h or more", c.Retention))
	}
	if c.Mode != polling && c.Mode != fanOut {
		errs = append(errs, fmt.Errorf("STREAM_MODE=%s: want %s or %s", c.Mode, polling, fanOut))
	}
	return errors.Join(errs...)
}

func (c *Config) stream(client *kinesis.Client) shards.Stream[[]byte] {
	if c.Mode == fanOut {
		return shards.NewKinesisFanOut(client, c.Stream, c.FanOut)
	}
	return shards.NewKinesisStream(client, c.Stream)
}
