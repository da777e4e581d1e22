package archive_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/leftfold/leftfold/pkg/engine/archive"
	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/localaws"
)

// An archive is completed from the log, and a lost log restored from the archive.
func Example() {
	ctx := context.Background()
	db := dynamodb.NewFromConfig(localaws.New(localaws.Options{}).Config())
	newLog := func(table string) *dynamostore.Store {
		tables := dynamostore.Tables{Events: table}
		if _, err := db.CreateTable(ctx, tables.CreateTableInputs()[0]); err != nil {
			panic(err)
		}
		return dynamostore.NewStore(db, dynamostore.Config{Tables: tables})
	}
	dir, err := os.MkdirTemp("", "archive-")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	files := archive.Folder(dir) // or a Bucket

	eventLog := newLog("EventLog")
	stream := eventsourcing.StreamID{Category: "bank/account", ID: "a"}
	for v := range eventsourcing.Version(3) {
		err := eventLog.Append(ctx, eventsourcing.Commit{Stream: stream, Expected: v, Records: []eventsourcing.Record{{
			ID: fmt.Sprint(v), Stream: stream, Version: v + 1, Name: "bank/account/moved", Schema: 1, Data: json.RawMessage(`{}`),
			RecordedAt: time.Now(),
		}}})
		if err != nil {
			panic(err)
		}
	}
	verified, err := archive.Verify(ctx, archive.VerifyConfig{
		Storage: files, EventLog: eventLog, Now: time.Now, Repair: true,
		OnFinding: func(f archive.Finding) { fmt.Println(f) },
	})
	fmt.Println("added:", verified.Added, err)
	restored, err := archive.Restore(ctx, archive.RestoreConfig{
		Source: archive.Events(ctx, files, 1), EventLog: newLog("EventLog-2"),
	})
	fmt.Println("written:", restored.Written, err)
	// Output:
	// missing: bank/account/a versions 1 to 3
	// added: 3 <nil>
	// written: 3 <nil>
}
