package localaws_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// Many clients increment and transact on few items: no increment is lost, transactions are atomic, and the stream has each
// item's changes in order.
func TestDynamoDBConcurrentWritesAreLostNowhere(t *testing.T) {
	t.Parallel()
	db, streams := newDynamoDB(t)
	arn := createTable(t, db, "accounts", false)
	const clients, rounds, accounts, start = 64, 8, 4, 1000
	account := func(i int) avs { return avs{"pk": str(fmt.Sprint("account-", i%accounts))} }
	for i := range accounts {
		put(t, db, "accounts", avs{"pk": account(i)["pk"], "balance": num(start), "writes": num(0)})
	}
	var added, moved, conflicts atomic.Int64
	var g errgroup.Group
	for c := range clients {
		g.Go(func() error {
			for r := range rounds {
				if c%2 == 0 {
					n, err := increment(t.Context(), db, account(c+r))
					if err != nil {
						return err
					}
					conflicts.Add(n)
					added.Add(1)
					continue
				}
				n, err := transfer(t.Context(), db, account(c+r), account(c+r+1+r%(accounts-1)))
				if err != nil {
					return err
				}
				conflicts.Add(n)
				moved.Add(1)
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
	t.Logf("%d conflicts", conflicts.Load())
	balance, writes := 0, 0
	for i := range accounts {
		item := get(t, db, "accounts", account(i))
		balance += number(t, item["balance"])
		writes += number(t, item["writes"])
	}
	assert.Equal(t, accounts*start+int(added.Load()), balance)
	assert.Equal(t, int(added.Load()+2*moved.Load()), writes)

	last := map[string]string{}
	for _, r := range readStream(t, streams, arn) {
		key := text(r.Dynamodb.Keys["pk"])
		if n, ok := r.Dynamodb.OldImage["writes"]; ok {
			assert.Equal(t, last[key], text(n), key)
		}
		last[key] = text(r.Dynamodb.NewImage["writes"])
	}
	for i := range accounts {
		key := text(account(i)["pk"])
		assert.Equal(t, strconv.Itoa(number(t, get(t, db, "accounts", account(i))["writes"])), last[key])
	}
}

// increment adds one and returns how often it conflicted with a transaction.
func increment(ctx context.Context, db *dynamodb.Client, key avs) (int64, error) {
	for conflicts := int64(0); ; conflicts++ {
		_, err := db.UpdateItem(ctx, &dynamodb.UpdateItemInput{
			TableName: aws.String("accounts"), Key: key, UpdateExpression: aws.String("ADD balance :one, writes :one"),
			ExpressionAttributeValues: avs{":one": num(1)},
		})
		if _, conflict := errors.AsType[*types.TransactionConflictException](err); !conflict {
			return conflicts, err
		}
	}
}

func transfer(ctx context.Context, db *dynamodb.Client, from, to avs) (int64, error) {
	change := func(key avs, by int) types.TransactWriteItem {
		return types.TransactWriteItem{Update: &types.Update{
			TableName: aws.String("accounts"), Key: key, UpdateExpression: aws.String("ADD balance :by, writes :one"),
			ConditionExpression:       aws.String("attribute_exists(pk)"),
			ExpressionAttributeValues: avs{":by": num(by), ":one": num(1)},
		}}
	}
	for conflicts := int64(0); ; conflicts++ {
		_, err := db.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{
			TransactItems: []types.TransactWriteItem{change(from, -1), change(to, 1)},
		})
		cancelled, ok := errors.AsType[*types.TransactionCanceledException](err)
		if !ok {
			return conflicts, err
		}
		for _, r := range cancelled.CancellationReasons {
			if code := aws.ToString(r.Code); code != "None" && code != "TransactionConflict" {
				return conflicts, err
			}
		}
	}
}
