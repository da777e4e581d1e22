package dynamostore

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leftfold/leftfold/pkg/engine/internal/dynamo"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// SnapshotsAPI is the part of *dynamodb.Client that Snapshots uses.
type SnapshotsAPI interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	DeleteItem(context.Context, *dynamodb.DeleteItemInput, ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error)
}

// Snapshots is an eventsourcing.Snapshots on DynamoDB: one item per stream. Its items may be deleted at any time. It is
// safe for concurrent use.
type Snapshots struct {
	db    SnapshotsAPI
	table string
}

var _ eventsourcing.Snapshots = (*Snapshots)(nil)

// NewSnapshots returns the snapshots in the table that tables names.
func NewSnapshots(db SnapshotsAPI, tables Tables) *Snapshots {
	return &Snapshots{db: db, table: tables.withDefaults().Snapshots}
}

// Load implements eventsourcing.Snapshots.
func (s *Snapshots) Load(ctx context.Context, stream eventsourcing.StreamID) (eventsourcing.Snapshot, error) {
	out, err := s.db.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: aws.String(s.table), Key: item{attrStream: dynamo.Text(stream.String())},
		ConsistentRead: aws.Bool(true), // an older one would do, but leaves more events to read
	})
	if err != nil {
		return eventsourcing.Snapshot{}, failed("get snapshot of "+stream.String(), err)
	}
	if out.Item == nil {
		return eventsourcing.Snapshot{}, eventsourcing.ErrNoSnapshot
	}
	f := fields{item: out.Item}
	snapshot := eventsourcing.Snapshot{
		Stream: stream, Version: eventsourcing.Version(f.number(attrVersion, 64)),
		EventID: f.text(attrEventID), Shape: f.text(attrShape), State: f.json(attrState),
	}
	if f.err != nil {
		return eventsourcing.Snapshot{}, fmt.Errorf("snapshot of %s: %w", stream, f.err)
	}
	return snapshot, nil
}

// Save implements eventsourcing.Snapshots.
func (s *Snapshots) Save(ctx context.Context, snapshot eventsourcing.Snapshot) error {
	it := item{
		attrStream: dynamo.Text(snapshot.Stream.String()), attrVersion: dynamo.Number(snapshot.Version),
		attrEventID: dynamo.Text(snapshot.EventID), attrShape: dynamo.Text(snapshot.Shape), attrState: dynamo.Text(string(snapshot.State)),
	}
	if size := itemSize(it); size > maxItemBytes {
		return tooLarge("snapshot of %s has %d bytes; an item takes %d", snapshot.Stream, size, maxItemBytes)
	}
	_, err := s.db.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: aws.String(s.table), Item: it,
		ConditionExpression: aws.String(
			"attribute_not_exists(#version) OR #version < :version OR #version = :version AND #shape <> :shape" +
				" OR NOT attribute_type(#version, :number)"), // nothing that Save writes
		ExpressionAttributeNames:  map[string]string{"#version": attrVersion, "#shape": attrShape},
		ExpressionAttributeValues: item{":version": it[attrVersion], ":shape": it[attrShape], ":number": dynamo.Text("N")},
	})
	return unlessRefused("save snapshot of "+snapshot.Stream.String(), err)
}

// Forget implements eventsourcing.Snapshots.
func (s *Snapshots) Forget(ctx context.Context, snapshot eventsourcing.Snapshot) error {
	_, err := s.db.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName: aws.String(s.table), Key: item{attrStream: dynamo.Text(snapshot.Stream.String())},
		ConditionExpression: aws.String("#version = :version AND #event = :event AND #shape = :shape"),
		ExpressionAttributeNames: map[string]string{
			"#version": attrVersion, "#event": attrEventID, "#shape": attrShape,
		},
		ExpressionAttributeValues: item{
			":version": dynamo.Number(snapshot.Version), ":event": dynamo.Text(snapshot.EventID), ":shape": dynamo.Text(snapshot.Shape),
		},
	})
	return unlessRefused("forget snapshot of "+snapshot.Stream.String(), err)
}

// unlessRefused returns nil if a condition failed: the stored snapshot is a better one.
func unlessRefused(operation string, err error) error {
	if _, refused := errors.AsType[*types.ConditionalCheckFailedException](err); refused {
		return nil
	}
	return failed(operation, err)
}
