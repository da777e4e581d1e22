import { Command, EventStore, EventType, tuple } from "@castore/core";
import {
  DynamoDBSingleTableEventStorageAdapter,
  EVENT_TABLE_EVENT_STORE_ID_KEY,
  EVENT_TABLE_INITIAL_EVENT_INDEX_NAME,
  EVENT_TABLE_PK,
  EVENT_TABLE_SK,
  EVENT_TABLE_TIMESTAMP_KEY,
} from "@castore/event-storage-adapter-dynamodb";

import { dynamodb, main, table } from "./tasks.mjs";

const users = new EventStore({
  eventStoreId: "USERS",
  eventTypes: [new EventType({ type: "USER_REGISTERED" }), new EventType({ type: "USER_RENAMED" })],
  reducer: (_, { aggregateId, version, payload }) => ({ aggregateId, version, name: payload.name }),
  eventStorageAdapter: new DynamoDBSingleTableEventStorageAdapter({ tableName: table, dynamoDBClient: dynamodb }),
});

// https://castore-dev.github.io/castore/docs/event-sourcing/pushing-events/: a command is run again, twice by default, if another one
// has written the version.
const register = new Command({
  commandId: "REGISTER",
  requiredEventStores: tuple(users),
  handler: ({ id, name }, [users]) => users.pushEvent({ aggregateId: id, version: 1, type: "USER_REGISTERED", payload: { name } }),
});

const rename = new Command({
  commandId: "RENAME",
  requiredEventStores: tuple(users),
  handler: async ({ id, name }, [users]) => {
    const { aggregate } = await users.getAggregate(id);
    await users.pushEvent({ aggregateId: id, version: (aggregate?.version ?? 0) + 1, type: "USER_RENAMED", payload: { name } });
  },
});

await main({
  setup: () =>
    dynamodb.createTable({
      TableName: table,
      BillingMode: "PAY_PER_REQUEST",
      AttributeDefinitions: [
        { AttributeName: EVENT_TABLE_PK, AttributeType: "S" },
        { AttributeName: EVENT_TABLE_SK, AttributeType: "N" },
        { AttributeName: EVENT_TABLE_EVENT_STORE_ID_KEY, AttributeType: "S" },
        { AttributeName: EVENT_TABLE_TIMESTAMP_KEY, AttributeType: "S" },
      ],
      KeySchema: [
        { AttributeName: EVENT_TABLE_PK, KeyType: "HASH" },
        { AttributeName: EVENT_TABLE_SK, KeyType: "RANGE" },
      ],
      GlobalSecondaryIndexes: [
        {
          IndexName: EVENT_TABLE_INITIAL_EVENT_INDEX_NAME,
          KeySchema: [
            { AttributeName: EVENT_TABLE_EVENT_STORE_ID_KEY, KeyType: "HASH" },
            { AttributeName: EVENT_TABLE_TIMESTAMP_KEY, KeyType: "RANGE" },
          ],
          Projection: { ProjectionType: "KEYS_ONLY" },
        },
      ],
    }),
  open: (id, name) => register.handler({ id, name }, [users]),
  rename: (id, name) => rename.handler({ id, name }, [users]),
  read: async (id) => (await users.getEvents(id)).events.length,
  isConflict: (error) => error.code === "EventAlreadyExistsError",
  gap: (id, beyond) =>
    users.pushEvent({ aggregateId: id, version: 1 + beyond, type: "USER_RENAMED", payload: { name: "bob" } }),
});
