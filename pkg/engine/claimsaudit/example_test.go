package claimsaudit_test

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leftfold/leftfold/pkg/engine/claimsaudit"
	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/localaws"
)

// opened is the only event of an account. The account claims its nickname.
type opened struct {
	Nickname string `json:"nickname"`
}

func (opened) EventName() string { return "bank/account/opened" }

func accounts() eventsourcing.Aggregate[opened, opened] {
	return eventsourcing.Aggregate[opened, opened]{
		Category: "bank/account", Codec: eventsourcing.NewCodec(opened{}),
		Evolve: func(_, event opened) opened { return event },
		Claims: func(state opened) []eventsourcing.Claim {
			return []eventsourcing.Claim{{Category: "bank/account", Name: "nickname", Value: state.Nickname}}
		},
	}
}

func Example() {
	ctx := context.Background()
	db := dynamodb.NewFromConfig(localaws.New(localaws.Options{}).Config())
	for _, table := range (dynamostore.Tables{}).CreateTableInputs() {
		if _, err := db.CreateTable(ctx, table); err != nil {
			panic(err)
		}
	}
	account := eventsourcing.StreamID{Category: "bank/account", ID: "a"}
	err := dynamostore.NewStore(db, dynamostore.Config{}).Append(ctx, eventsourcing.Commit{
		Stream: account,
		Records: []eventsourcing.Record{{
			ID: "1", Stream: account, Version: 1, Name: "bank/account/opened", Schema: 1,
			Data: []byte(`{"nickname":"holidays"}`), RecordedAt: time.Now(),
		}},
		Take: accounts().Claims(opened{Nickname: "holidays"}),
	})
	if err != nil {
		panic(err)
	}
	// A claim is lost, as by a partial restore from a backup.
	_, err = db.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName: aws.String("set-validations"),
		Key: map[string]types.AttributeValue{
			"constraint": &types.AttributeValueMemberS{Value: "bank/account#nickname:holidays"},
		},
	})
	if err != nil {
		panic(err)
	}

	result, err := claimsaudit.Run(ctx, claimsaudit.Config{
		Claims:       dynamostore.NewClaims(db, dynamostore.Config{}),
		Categories:   []claimsaudit.Category{claimsaudit.NewCategory(accounts())},
		Repair:       true,
		OnDifference: func(d claimsaudit.Difference) { fmt.Println(d) },
	})
	fmt.Println("equal:", result.Equal(), err)
	// Output:
	// missing: bank/account#nickname is held by bank/account/a and has no owner in the table: repaired
	// equal: true <nil>
}
