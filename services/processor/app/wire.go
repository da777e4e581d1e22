//go:build wireinject

package app

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/google/wire"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/service"
)

// New wires the service. The queue must exist.
func New(ctx context.Context, cfg Config, p service.Platform) (service.App, error) {
	wire.Build(
		newDynamoDB, wire.Bind(new(dynamostore.DynamoDBAPI), new(*dynamodb.Client)), newStoreConfig, dynamostore.NewStore,
		newSnapshots, newClient, newProcessConfig, newGrants, newRetirement,
		newEar, newConsumer, newCatchUps, newPoller, newApp,
	)
	return service.App{}, nil
}
