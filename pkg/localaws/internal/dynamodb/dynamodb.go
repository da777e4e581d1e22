// Package dynamodb implements DynamoDB and DynamoDB Streams in memory, with the limits and errors that AWS documents.
//
// Locks are taken in the order table gates (by name), stripes of tables (in the order of stripesOf), stripe of an index,
// stream, shard. An operation on items holds its tables' gates shared, so only a change of a table itself excludes it.
package dynamodb

import (
	"maps"
	"sync"
	"time"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
	"github.com/leftfold/leftfold/pkg/localaws/internal/journal"
)

const (
	contentType = "application/x-amz-json-1.0"
	namespace   = "com.amazonaws.dynamodb.v20120810"
)

// Options configure a DB.
type Options struct {
	// Region is part of every ARN and stream record.
	Region string
	// AccountID is part of every ARN.
	AccountID string
	// Now is the clock for timestamps, expiry and deduplication.
	Now func() time.Time
	// Journal takes all changes; nil to keep nothing.
	Journal *journal.Journal
	// HoldReads is how long GetRecords waits for a record if there is none.
	HoldReads time.Duration
}

// DB is one account's DynamoDB in one region.
type DB struct {
	options Options
	kept    kept
	tokens  tokens
	closed  chan struct{}
	close   func() // closes it

	mu      sync.RWMutex
	tables  map[string]*table
	streams map[string]*stream // by ARN; kept for a day after the table is deleted
}

// New returns a DB without tables.
func New(o Options) *DB {
	k, closed := keptIn(o.Journal, o.Region), make(chan struct{})
	return &DB{
		closed:  closed,
		close:   sync.OnceFunc(func() { close(closed) }),
		options: o,
		kept:    k,
		tokens:  tokens{kept: k, entries: map[string]*token{}},
		tables:  map[string]*table{},
		streams: map[string]*stream{},
	}
}

// Close ends reads that wait for records; later ones do not wait.
func (db *DB) Close() { db.close() }

// Service returns the API of tables and items.
func (db *DB) Service() *awsjson.Service {
	ops := map[string]awsjson.Operation{
		"PutItem":            awsjson.Handle(db.putItem),
		"GetItem":            awsjson.Handle(db.getItem),
		"UpdateItem":         awsjson.Handle(db.updateItem),
		"DeleteItem":         awsjson.Handle(db.deleteItem),
		"Query":              awsjson.Handle(db.query),
		"Scan":               awsjson.Handle(db.scan),
		"BatchGetItem":       awsjson.Handle(db.batchGetItem),
		"BatchWriteItem":     awsjson.Handle(db.batchWriteItem),
		"TransactGetItems":   awsjson.Handle(db.transactGetItems),
		"TransactWriteItems": awsjson.Handle(db.transactWriteItems),
	}
	maps.Copy(ops, db.tableOperations())
	return &awsjson.Service{Target: "DynamoDB_20120810", ContentType: contentType, Namespace: namespace, Operations: ops}
}

func (db *DB) tableOperations() map[string]awsjson.Operation {
	return map[string]awsjson.Operation{
		"CreateTable":               awsjson.Handle(db.createTable),
		"DescribeTable":             awsjson.Handle(db.describeTable),
		"ListTables":                awsjson.Handle(db.listTables),
		"DeleteTable":               awsjson.Handle(db.deleteTable),
		"UpdateTable":               awsjson.Handle(db.updateTable),
		"UpdateTimeToLive":          awsjson.Handle(db.updateTimeToLive),
		"DescribeTimeToLive":        awsjson.Handle(db.describeTimeToLive),
		"DescribeContinuousBackups": awsjson.Handle(db.describeContinuousBackups),
		"UpdateContinuousBackups":   awsjson.Handle(db.updateContinuousBackups),
		"TagResource":               awsjson.Handle(db.tagResource),
		"UntagResource":             awsjson.Handle(db.untagResource),
		"ListTagsOfResource":        awsjson.Handle(db.listTagsOfResource),
	}
}

// Streams returns the API of stream records.
func (db *DB) Streams() *awsjson.Service {
	return &awsjson.Service{
		Target: "DynamoDBStreams_20120810", ContentType: contentType, Namespace: namespace,
		Operations: map[string]awsjson.Operation{
			"ListStreams":      awsjson.Handle(db.listStreams),
			"DescribeStream":   awsjson.Handle(db.describeStream),
			"GetShardIterator": awsjson.Handle(db.getShardIterator),
			"GetRecords":       awsjson.Handle(db.getRecords),
		},
	}
}

func (db *DB) tableARN(name string) string {
	return "arn:aws:dynamodb:" + db.options.Region + ":" + db.options.AccountID + ":table/" + name
}
