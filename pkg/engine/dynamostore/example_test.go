package dynamostore_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/localaws"
)

// newTables returns a client of an embedded AWS that has the tables.
func newTables(ctx context.Context) *dynamodb.Client {
	db := dynamodb.NewFromConfig(localaws.New(localaws.Options{}).Config()) // in production: config.LoadDefaultConfig and awscall.Configure
	for _, table := range (dynamostore.Tables{}).CreateTableInputs() {
		if _, err := db.CreateTable(ctx, table); err != nil {
			panic(err)
		}
	}
	return db
}

func account(id string) eventsourcing.StreamID {
	return eventsourcing.StreamID{Category: "bank/account", ID: id}
}

// record returns an event of an account. A repository makes records of typed events.
func record(id string, version eventsourcing.Version, name, data string) eventsourcing.Record {
	return eventsourcing.Record{
		ID: fmt.Sprint(id, "-", version), Stream: account(id), Version: version, Name: "bank/account/" + name, Schema: 1,
		Data: []byte(data), RecordedAt: time.Now(),
	}
}

// A commit appends events to a stream that is at the expected version.
func ExampleStore() {
	ctx := context.Background()
	store := dynamostore.NewStore(newTables(ctx), dynamostore.Config{})
	err := store.Append(ctx, eventsourcing.Commit{Stream: account("a"), Records: []eventsourcing.Record{
		record("a", 1, "opened", `{}`), record("a", 2, "credited", `{"cents":500}`),
	}})
	fmt.Println("appended:", err)

	err = store.Append(ctx, eventsourcing.Commit{Stream: account("a"), Expected: 1, Records: []eventsourcing.Record{
		{
			ID: "late", Stream: account("a"), Version: 2, Name: "bank/account/closed", Schema: 1, Data: []byte(`{}`),
			RecordedAt: time.Now(),
		},
	}})
	fmt.Println("outdated:", errors.Is(err, eventsourcing.ErrConflict))

	for r, err := range store.Read(ctx, account("a"), 0) {
		if err != nil {
			panic(err)
		}
		fmt.Println(r.Version, r.Name, string(r.Data))
	}
	// Output:
	// appended: <nil>
	// outdated: true
	// 1 bank/account/opened {}
	// 2 bank/account/credited {"cents":500}
}

// A claim reserves a value: only one stream can own it. It is taken in the commit's own transaction.
func ExampleStore_Append_claims() {
	ctx := context.Background()
	store := dynamostore.NewStore(newTables(ctx), dynamostore.Config{})
	open := func(id string) error {
		return store.Append(ctx, eventsourcing.Commit{
			Stream: account(id), Records: []eventsourcing.Record{record(id, 1, "opened", `{}`)},
			Take: []eventsourcing.Claim{{Category: "bank/account", Name: "nickname", Value: "holidays"}},
		})
	}
	fmt.Println("a:", open("a"))
	fmt.Println("b is refused:", errors.Is(open("b"), eventsourcing.ErrClaimTaken))
	// Output:
	// a: <nil>
	// b is refused: true
}

// An audit reads the claims table beside the log.
func ExampleClaims() {
	ctx := context.Background()
	db := newTables(ctx)
	err := dynamostore.NewStore(db, dynamostore.Config{}).Append(ctx, eventsourcing.Commit{
		Stream: account("a"), Records: []eventsourcing.Record{record("a", 1, "opened", `{}`)},
		Take: []eventsourcing.Claim{{Category: "bank/account", Name: "nickname", Value: "holidays"}},
	})
	if err != nil {
		panic(err)
	}
	for page, err := range dynamostore.NewClaims(db, dynamostore.Config{}).Rows(ctx, 0) {
		if err != nil {
			panic(err)
		}
		for _, row := range page {
			fmt.Println(row.Key, "is owned by", row.Owner)
		}
	}
	// Output: bank/account#nickname:holidays is owned by bank/account/a
}
