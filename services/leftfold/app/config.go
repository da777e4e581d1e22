package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/pkg/service/auth/devissuer"
	"github.com/leftfold/leftfold/services/leftfold/internal/amount"
	"github.com/leftfold/leftfold/services/leftfold/internal/demo"
)

// AWSConfig is the configuration of the embedded AWS.
type AWSConfig struct {
	service.Config
	_       struct{} `group:"Embedded AWS"`
	AWSAddr string   `envconfig:"AWS_ADDR" default:"127.0.0.1:4566" desc:"address of the embedded AWS (leftfold only)"`
	DataDir string   `envconfig:"DATA_DIR" desc:"directory in which the embedded AWS keeps everything across restarts; unset: in memory only"`
	Region  string   `envconfig:"AWS_REGION" default:"us-east-1" desc:"region in which the embedded AWS has its tables, stream and queues"`
	Names   topology.Names
}

// regionName is what a client can sign a request for.
var regionName = regexp.MustCompile(`^[a-z0-9-]{1,32}$`) // read only

// BeginsEmpty reports whether the embedded AWS has nothing from before, if it is not running yet.
func (c *AWSConfig) BeginsEmpty() bool {
	if c.DataDir == "" {
		return true
	}
	entries, err := os.ReadDir(c.DataDir)
	return err == nil && len(entries) == 0 || errors.Is(err, fs.ErrNotExist)
}

// Kept says where the embedded AWS keeps its data.
func (c *AWSConfig) Kept() string {
	if c.DataDir == "" {
		return "It keeps everything in memory: stop it, and all is gone."
	}
	return "It keeps everything across restarts, in " + c.DataDir + "."
}

// Validate is called by service.LoadConfig.
func (c *AWSConfig) Validate() error {
	if !regionName.MatchString(c.Region) {
		return fmt.Errorf("AWS_REGION=%s: want the name of a region, such as eu-central-1", c.Region)
	}
	return nil
}

// ArchiveName is where the archive is.
type ArchiveName struct {
	_       struct{} `group:"Archive"`
	Archive string   `envconfig:"ARCHIVE" desc:"archive of all events: a folder, or s3://bucket/prefix; unset: run and services archive nothing"`
}

// bucket returns the parts of "s3://bucket/prefix". ok is false for a folder.
func (n ArchiveName) bucket() (name, prefix string, ok bool) {
	rest, ok := strings.CutPrefix(n.Archive, "s3://")
	name, prefix, _ = strings.Cut(rest, "/")
	if prefix != "" {
		prefix = strings.TrimSuffix(prefix, "/") + "/"
	}
	return name, prefix, ok
}

// ArchiveConfig is the configuration of the archive's writer.
type ArchiveConfig struct {
	ArchiveName
	topology.EventLogName
	topology.HopNames
	service.Shards
	_         struct{}      `group:"Reading of streams"`
	Retention time.Duration `envconfig:"STREAM_RETENTION" default:"24h" desc:"how long the Kinesis stream keeps records; what is older is read from the log"`
	_         struct{}      `group:"Archive"`
	Every     time.Duration `envconfig:"ARCHIVE_EVERY" default:"10s" desc:"how often a file is made of what has arrived in a shard"`
}

// maxEvery is less than the five minutes after which a position in a shard expires:
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetShardIterator.html
const maxEvery = 4 * time.Minute

// Validate is called by service.LoadConfig.
func (c *ArchiveConfig) Validate() error {
	if c.Every <= 0 || c.Every > maxEvery {
		return fmt.Errorf("ARCHIVE_EVERY=%s: want more than 0 and at most %s", c.Every, maxEvery)
	}
	return nil
}

// IssuerConfig is the configuration of the development issuer.
type IssuerConfig struct {
	Process service.Config
	Issuer  devissuer.Config
}

// Config is the configuration of the leftfold program: its own and that of every service in it.
type Config struct {
	AWSConfig
	_    struct{} `group:"Users to begin with"`
	Seed int      `envconfig:"SEED_USERS" default:"0" desc:"users that run begins with, and roles for them, up to 1,000,000; none are added to what DATA_DIR has"`
	Services
	Archive ArchiveConfig
}

// Validate is called by service.LoadConfig.
func (c *Config) Validate() error {
	switch {
	case c.Seed < 0 || c.Seed > demo.MaxUsers:
		return fmt.Errorf("SEED_USERS=%d: want 0 to %s", c.Seed, amount.Digits(demo.MaxUsers))
	case c.Seed > 0 && c.CommandAPI.Auth.Mode != "none":
		return fmt.Errorf("SEED_USERS=%d: only with AUTH_MODE=none, since its requests have no token", c.Seed)
	}
	if _, _, ok := c.Archive.bucket(); ok {
		return fmt.Errorf("ARCHIVE=%s: want a folder; leftfold archive write writes to S3", c.Archive.Archive)
	}
	return nil
}

// Lookup is lookup with defaults that suit one process on a developer's machine: few logs, no tokens, no rate limit, and hops
// that poll the embedded AWS, where it costs nothing, more often. As in AWS's SDKs, AWS_DEFAULT_REGION is a second name of
// AWS_REGION.
func Lookup(lookup func(string) (string, bool)) func(string) (string, bool) {
	defaults := map[string]string{
		"ENVIRONMENT": auth.Local, "AUTH_MODE": "none", "RATE_LIMIT": "0",
		"LOG_LEVEL": "warn", "LOG_FORMAT": "text", "STREAM_POLL": "10ms", "STOP_TIMEOUT": "5s",
		"OIDC_CLIENT_ID": topology.Processor, "OIDC_CLIENT_SECRET": "local", // the development issuer takes any
		"LOGIN_CLIENT_ID": topology.Console, "SESSION_KEYS": "of-sessions-on-this-machine-alone",
	}
	return func(key string) (string, bool) {
		if v, ok := lookup(key); ok && v != "" {
			return v, true
		}
		if v, ok := lookup("AWS_DEFAULT_REGION"); ok && key == "AWS_REGION" {
			return v, true
		}
		v, ok := defaults[key]
		return v, ok
	}
}
