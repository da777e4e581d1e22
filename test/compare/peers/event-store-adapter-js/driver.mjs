import { randomUUID } from "node:crypto";

import adapter from "event-store-adapter-js";

import { dynamodb, main, table } from "./tasks.mjs";

const snapshots = `${table}-snapshots`;
const journalIndex = "journal-aid-index";
const snapshotsIndex = "snapshots-aid-index";

class UserId {
  typeName = "user";
  constructor(value) {
    this.value = value;
  }
  asString() {
    return `${this.typeName}-${this.value}`;
  }
}

class User {
  typeName = "User";
  constructor(id, name, sequenceNumber, version) {
    Object.assign(this, { id, name, sequenceNumber, version });
  }
  withVersion(version) {
    return new User(this.id, this.name, this.sequenceNumber, version);
  }
  updateVersion(change) {
    return this.withVersion(change(this.version));
  }
  apply(event) {
    return new User(this.id, event.name, event.sequenceNumber, this.version);
  }
}

const event = (typeName, aggregateId, name, sequenceNumber) => ({
  typeName,
  id: randomUUID(),
  aggregateId,
  name,
  sequenceNumber,
  occurredAt: new Date(),
  isCreated: typeName === "UserRegistered",
});

const store = adapter.EventStoreFactory.ofDynamoDB(
  dynamodb,
  table,
  snapshots,
  journalIndex,
  snapshotsIndex,
  32,
  ({ data }) => ({ ...data, aggregateId: new UserId(data.aggregateId.value), occurredAt: new Date(data.occurredAt) }),
  ({ data }) => new User(new UserId(data.id.value), data.name, data.sequenceNumber, data.version),
);

// The repository of the library's README.
const repository = {
  storeEvent: (event, version) => store.persistEvent(event, version),
  storeEventAndSnapshot: (event, user) => store.persistEventAndSnapshot(event, user),
  async findById(id) {
    const snapshot = await store.getLatestSnapshotById(id);
    if (!snapshot) return undefined;
    const events = await store.getEventsByIdSinceSequenceNumber(id, snapshot.sequenceNumber + 1);
    return events.reduce((user, event) => user.apply(event), snapshot);
  },
};

const open = async (value, name) => {
  const id = new UserId(value);
  await repository.storeEventAndSnapshot(event("UserRegistered", id, name, 1), new User(id, name, 1, 1));
};

const append = (user, sequenceNumber, name) =>
  repository.storeEvent(event("UserRenamed", user.id, name, sequenceNumber), user.version);

const keys = ["pkey", "skey"];
const indexKeys = ["aid", "seq_nr"];
const keySchema = ([hash, range]) => [
  { AttributeName: hash, KeyType: "HASH" },
  { AttributeName: range, KeyType: "RANGE" },
];
const createTable = (name, index) =>
  dynamodb.createTable({
    TableName: name,
    BillingMode: "PAY_PER_REQUEST",
    AttributeDefinitions: [...keys, ...indexKeys].map((AttributeName) => ({
      AttributeName,
      AttributeType: AttributeName === "seq_nr" ? "N" : "S",
    })),
    KeySchema: keySchema(keys),
    GlobalSecondaryIndexes: [{ IndexName: index, KeySchema: keySchema(indexKeys), Projection: { ProjectionType: "ALL" } }],
  });

await main({
  async setup() {
    await createTable(table, journalIndex);
    await createTable(snapshots, snapshotsIndex);
  },
  open,
  async rename(value, name) {
    const user = await repository.findById(new UserId(value));
    await (user ? append(user, user.sequenceNumber + 1, name) : open(value, name));
  },
  read: async (value) => (await store.getEventsByIdSinceSequenceNumber(new UserId(value), 1)).length,
  isConflict: (error) => error instanceof adapter.OptimisticLockError || error.name === "TransactionCanceledException",
  async gap(value, beyond) {
    const user = await repository.findById(new UserId(value));
    await append(user, user.sequenceNumber + beyond, "bob");
  },
});
