package app

import (
	"context"
	"errors"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/leftfold/leftfold/pkg/engine/archive"
	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/iam/problems"
	"github.com/leftfold/leftfold/pkg/retry"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/awsconfig"
	"github.com/leftfold/leftfold/pkg/service/health"
)

// Storage returns the archive, in S3 if that is its name.
func (n ArchiveName) Storage(target aws.Config) (archive.Storage, error) {
	if n.Archive == "" {
		return nil, errors.New("ARCHIVE is not set; it names the archive: a folder, or s3://bucket/prefix")
	}
	name, prefix, ok := n.bucket()
	if !ok {
		return archive.Folder(n.Archive), nil
	}
	client := s3.NewFromConfig(target, func(o *s3.Options) {
		o.DisableLogOutputChecksumValidationSkipped = true // Firehose's objects need not have one; gzip has its own
		o.UsePathStyle = o.BaseEndpoint != nil             // one host for all buckets, as emulators have it
	})
	return archive.Bucket{Client: client, Name: name, Prefix: prefix}, nil
}

// ArchiveConsumer is the name of the archive's writers among the readers of shards.
const ArchiveConsumer = "archive"

// NewArchiveWriter wires the archive's writer, which does what Firehose does on AWS.
func NewArchiveWriter(_ context.Context, cfg ArchiveConfig, p service.Platform) (service.App, error) {
	storage, err := cfg.Storage(p.AWS)
	if err != nil {
		return service.App{}, err
	}
	db, k := dynamodb.NewFromConfig(p.AWS), kinesis.NewFromConfig(p.AWS)
	writer := archive.Writer{
		Storage: storage, Now: p.Now,
		EventLog: dynamostore.NewStore(db, dynamostore.Config{Tables: dynamostore.Tables{Events: cfg.EventLog}}),
	}
	reader, err := shards.NewReader(shards.Config[[]byte]{
		Consumer: ArchiveConsumer, Owner: p.Instance,
		Stream: shards.NewKinesisStream(k, cfg.Stream), Leases: shards.NewDynamoDBLeases(db, cfg.Leases),
		Handle: writer.Handle, Republish: writer.Republish, Retention: cfg.Retention,
		Poll: cfg.Every, Checkpoint: cfg.Checkpoint, LeaseDuration: cfg.LeaseDuration, StopTimeout: p.Drain,
		Backoff: retry.Backoff{Jitter: p.Jitter}, Now: p.Now, Logger: p.Logger, Metrics: p.Metrics, Loops: p.Loops,
	})
	return service.App{
		Parts:  []service.Part{{Name: "archive", Run: reader.Run}},
		First:  []health.Check{{Name: "lease round of archive", Probe: reader.Ready}},
		Checks: []health.Check{awsconfig.StreamCheck(k, cfg.Stream), awsconfig.TableCheck(db, cfg.Leases)}, Info: problems.Info(),
	}, err
}

// Archiver is the configuration of the archive's writer as a process of its own.
type Archiver struct {
	Process service.Config
	ArchiveConfig
}

// NewArchiver returns the archive's writer, which reads the AWS of the environment and has its admin address.
func NewArchiver(ctx context.Context, cfg Archiver, logs io.Writer) (*Alone, error) {
	platform, registry, err := service.NewPlatform(cfg.Process, logs)
	if err != nil {
		return nil, err
	}
	if platform.AWS, err = awsconfig.Load(ctx); err != nil {
		return nil, err
	}
	platform = platform.For("archive")
	app, err := NewArchiveWriter(ctx, cfg.ArchiveConfig, platform)
	if err != nil {
		return nil, err
	}
	endpoints, err := service.Endpoints(cfg.Process, platform, registry, app) //nolint:contextcheck // each request brings its own
	if err != nil {
		return nil, err
	}
	servers, addrs, err := service.Listen(ctx, platform.Logger, endpoints...)
	return &Alone{
		Addr: addrs["admin"],
		run: func(ctx context.Context) error {
			return platform.Run(ctx, cfg.Process.StopTimeout, append(app.Parts, servers...)...)
		},
	}, err
}
