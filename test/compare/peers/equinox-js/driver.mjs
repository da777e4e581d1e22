import { CachingStrategy, Codec, Decider, LoadOption, MemoryCache, StreamId } from "@equinox-js/core";
import {
  AccessStrategy,
  DynamoStoreCategory,
  DynamoStoreClient,
  DynamoStoreContext,
  QueryOptions,
  TipOptions,
} from "@equinox-js/dynamo-store";

import { dynamodb, main, table } from "./tasks.mjs";

const context = new DynamoStoreContext({
  client: new DynamoStoreClient(dynamodb),
  tableName: table,
  tip: TipOptions.create({}),
  query: QueryOptions.create({}),
});

const initial = { count: 0 };
const fold = ({ count }, events) => ({ count: count + events.length, name: events.at(-1)?.data.name });

const category = (caching) =>
  DynamoStoreCategory.create(context, "User", Codec.compress(Codec.json()), fold, initial, caching, AccessStrategy.Unoptimized());
const decider = (category, id) => Decider.forStream(category, StreamId.create(id), null);

const users = category(CachingStrategy.Cache(new MemoryCache()));
const load = process.argv.includes("--any-cached-value") ? LoadOption.AnyCachedValue : LoadOption.RequireLoad;

await main({
  setup: () =>
    dynamodb.createTable({
      TableName: table,
      BillingMode: "PAY_PER_REQUEST",
      AttributeDefinitions: [
        { AttributeName: "p", AttributeType: "S" },
        { AttributeName: "i", AttributeType: "N" },
      ],
      KeySchema: [
        { AttributeName: "p", KeyType: "HASH" },
        { AttributeName: "i", KeyType: "RANGE" },
      ],
      StreamSpecification: { StreamEnabled: true, StreamViewType: "NEW_IMAGE" },
    }),
  open: (id, name) => decider(users, id).transact(() => [{ type: "Registered", data: { name } }], LoadOption.AssumeEmpty),
  rename: (id, name) => decider(users, id).transact(() => [{ type: "Renamed", data: { name } }], load),
  read: (id) => decider(category(CachingStrategy.NoCache()), id).query(({ count }) => count, LoadOption.RequireLeader),
  isConflict: (error) => error.constructor.name === "MaxResyncsExhaustedException",
});
