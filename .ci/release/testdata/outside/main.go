// Command outside uses released packages in a module of someone else: the kernel, the store on DynamoDB, and the embedded AWS.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/localaws"
)

type opened struct{}

func (opened) EventName() string { return "house/door/opened" }

type open struct{}

func (open) Decide(bool) ([]opened, error) { return []opened{{}}, nil }

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	server := localaws.New(localaws.Options{})
	defer server.Close()
	db := dynamodb.NewFromConfig(server.Config())
	for _, table := range (dynamostore.Tables{}).CreateTableInputs() {
		if _, err := db.CreateTable(ctx, table); err != nil {
			return err
		}
	}
	doors, err := eventsourcing.NewRepository(eventsourcing.Config[bool, opened]{
		Aggregate: eventsourcing.Aggregate[bool, opened]{
			Category: "house/door", Codec: eventsourcing.NewCodec[opened](opened{}),
			Evolve: func(bool, opened) bool { return true },
		},
		Store: dynamostore.NewStore(db, dynamostore.Config{}),
	})
	if err != nil {
		return err
	}
	version, err := doors.Do(ctx, "d1", open{})
	if err != nil {
		return err
	}
	fmt.Println(opened{}.EventName(), "is stored as version", version)
	return nil
}
