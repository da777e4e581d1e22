// Command leftfold is Leftfold's driver: pkg/eventsourcing on pkg/engine/dynamostore, as command-api uses them. Package compare describes
// the tasks.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"golang.org/x/sync/errgroup"

	"github.com/leftfold/leftfold/pkg/engine/awscall"
	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

func main() {
	cache := flag.Int("cache", 10000, "states kept in memory")
	flag.Parse()
	answer, err := run(context.Background(), flag.Arg(0), *cache)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(answer)
	}
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// driver has the store, and what to do.
type driver struct {
	db                       *dynamodb.Client
	tables                   dynamostore.Tables
	store                    *dynamostore.Store
	users                    *eventsourcing.Repository[user, event]
	streams, events, writers int
}

type answer map[string]any

func run(ctx context.Context, task string, cache int) (answer, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	table := os.Getenv("TABLE")
	d := driver{
		db: dynamodb.NewFromConfig(awscall.Configure(cfg)),
		tables: dynamostore.Tables{
			Events: table, Claims: table + "-claims", Commands: table + "-commands", Snapshots: table + "-snapshots",
		},
	}
	for name, to := range map[string]*int{"STREAMS": &d.streams, "EVENTS": &d.events, "WRITERS": &d.writers} {
		if *to, err = strconv.Atoi(os.Getenv(name)); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	d.store = dynamostore.NewStore(d.db, dynamostore.Config{Tables: d.tables})
	if d.users, err = users(d.store, cache); err != nil {
		return nil, err
	}
	tasks := map[string]func(context.Context) (answer, error){
		"setup": d.setup, "update": d.update, "open": d.open, "bare": d.bare,
		"race": d.race, "gap": d.gap, "lost": d.lost, "unique": d.unique, "big": d.big,
	}
	do := tasks[task]
	if do == nil {
		return answer{"offered": false}, nil
	}
	return do(ctx)
}

func (d driver) setup(ctx context.Context) (answer, error) {
	for _, table := range d.tables.CreateTableInputs() {
		if _, err := d.db.CreateTable(ctx, table); err != nil {
			return nil, err
		}
	}
	return answer{}, nil
}

// update renames one user after the other.
func (d driver) update(ctx context.Context) (answer, error) {
	for n := range d.events {
		if _, err := d.users.Do(ctx, fmt.Sprint("user-", n%d.streams), rename{Name: fmt.Sprint("name-", n)}); err != nil {
			return nil, err
		}
	}
	return answer{"done": d.events}, nil
}

func (d driver) open(ctx context.Context) (answer, error) {
	for n := range d.events {
		if _, err := d.users.Do(ctx, fmt.Sprint("user-", n), register{Name: fmt.Sprint("name-", n)}); err != nil {
			return nil, err
		}
	}
	return answer{"done": d.events}, nil
}

// bare puts items of the same size by the SDK alone.
func (d driver) bare(ctx context.Context) (answer, error) {
	for n := range d.events {
		_, err := d.db.PutItem(ctx, &dynamodb.PutItemInput{
			TableName: aws.String(d.tables.Events),
			Item: map[string]types.AttributeValue{
				"stream":  &types.AttributeValueMemberS{Value: fmt.Sprint("user-", n)},
				"version": &types.AttributeValueMemberN{Value: "1"},
				"name":    &types.AttributeValueMemberS{Value: "compare/user/renamed"},
				"data":    &types.AttributeValueMemberS{Value: fmt.Sprintf(`{"name":"name-%d"}`, n)},
				"time":    &types.AttributeValueMemberS{Value: time.Now().UTC().Format(time.RFC3339Nano)},
			},
		})
		if err != nil {
			return nil, err
		}
	}
	return answer{"done": d.events}, nil
}

func (d driver) race(ctx context.Context) (answer, error) {
	const each = 29
	var accepted atomic.Int64
	var writers errgroup.Group
	for writer := range d.writers {
		writers.Go(func() error {
			for n := range each {
				_, err := d.users.Do(ctx, "one", rename{Name: fmt.Sprint("name-", writer, "-", n)})
				if err == nil {
					accepted.Add(1)
				} else if !errors.Is(err, eventsourcing.ErrConflict) {
					return err
				}
			}
			return nil
		})
	}
	if err := writers.Wait(); err != nil {
		return nil, err
	}
	read, err := d.read(ctx, "one")
	return answer{"accepted": accepted.Load(), "read": read}, err
}

// gap bypasses the repository, which never leaves one.
func (d driver) gap(ctx context.Context) (answer, error) {
	if _, err := d.users.Do(ctx, "one", register{Name: "ann"}); err != nil {
		return nil, err
	}
	stream := eventsourcing.StreamID{Category: category, ID: "one"}
	err := d.store.Append(ctx, eventsourcing.Commit{Stream: stream, Expected: 5, Records: []eventsourcing.Record{{
		ID: "beyond", Stream: stream, Version: 6, Name: renamed{}.EventName(), Schema: 1, Data: json.RawMessage(`{"name":"bob"}`),
		RecordedAt: time.Now().UTC(),
	}}})
	if err != nil && !errors.Is(err, eventsourcing.ErrConflict) {
		return nil, err
	}
	return answer{"offered": true, "accepted": err == nil}, nil
}

func (d driver) lost(ctx context.Context) (answer, error) {
	text := ""
	if _, err := d.users.Do(ctx, "one", rename{Name: "ann"}); err != nil {
		text = err.Error()
	}
	read, err := d.read(ctx, "one")
	return answer{"read": read, "error": text}, err
}

func (d driver) unique(ctx context.Context) (answer, error) {
	var accepted atomic.Int64
	var writers errgroup.Group
	for writer := range d.writers {
		writers.Go(func() error {
			_, err := d.users.Do(ctx, fmt.Sprint("user-", writer), register{Name: "ann", Email: "ann@example.com"})
			if err == nil {
				accepted.Add(1)
			} else if !errors.Is(err, eventsourcing.ErrClaimTaken) {
				return err
			}
			return nil
		})
	}
	err := writers.Wait()
	return answer{"offered": true, "accepted": accepted.Load()}, err
}

func (d driver) big(ctx context.Context) (answer, error) {
	for range d.events {
		if _, err := d.users.Do(ctx, "one", rename{Name: strings.Repeat("n", 10_000)}); err != nil {
			return nil, err
		}
	}
	read, err := d.read(ctx, "one")
	return answer{"written": d.events, "read": read}, err
}

// read counts a stream's events by reading them.
func (d driver) read(ctx context.Context, id string) (count int, err error) {
	for _, err := range d.store.Read(ctx, eventsourcing.StreamID{Category: category, ID: id}, 0) {
		if err != nil {
			return count, err
		}
		count++
	}
	return count, nil
}
