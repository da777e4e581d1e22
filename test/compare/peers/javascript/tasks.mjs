// The tasks of a driver, in terms of what a library does; docs/comparison.md describes them.
import { DynamoDB } from "@aws-sdk/client-dynamodb";

export const table = process.env.TABLE;
export const dynamodb = new DynamoDB({}); // the address, region and credentials are in the environment

const [streams, events, writers] = ["STREAMS", "EVENTS", "WRITERS"].map((name) => Number(process.env[name]));
const user = (n) => `user-${n}`;
const range = (n) => Array.from({ length: n }, (_, i) => i);

/**
 * Runs the task that the program is called with. A library has
 *   setup()            creates its tables
 *   open(id, name)     opens an aggregate with one event
 *   rename(id, name)   loads an aggregate, decides and appends one event, whatever the name was
 *   read(id)           counts an aggregate's events by reading them
 *   isConflict(error)  tells a refused append from another error
 *   gap(id, beyond)    appends an event that many versions beyond the end; optional
 *   unique(id, email)  opens an aggregate with a unique value, and returns whether it did; optional
 */
export async function main(library) {
  const accepted = async (append) => {
    try {
      await append();
      return true;
    } catch (error) {
      if (library.isConflict(error)) return false;
      throw error;
    }
  };
  const tasks = {
    async setup() {
      await library.setup();
      return {};
    },
    async update() {
      for (const n of range(events)) await library.rename(user(n % streams), `name-${n}`);
      return { done: events };
    },
    async open() {
      for (const n of range(events)) await library.open(user(n), `name-${n}`);
      return { done: events };
    },
    // An item of its own key, as the library's table has it.
    async bare() {
      const { Table } = await dynamodb.describeTable({ TableName: table });
      const types = Object.fromEntries(Table.AttributeDefinitions.map((a) => [a.AttributeName, a.AttributeType]));
      const [partition, sort] = Table.KeySchema.map((k) => k.AttributeName);
      for (const n of range(events)) {
        await dynamodb.putItem({
          TableName: table,
          Item: {
            [partition]: { [types[partition]]: user(n) },
            [sort]: { [types[sort]]: "1" },
            name: { S: "USER_RENAMED" },
            data: { S: JSON.stringify({ name: `name-${n}` }) },
            time: { S: new Date().toISOString() },
          },
        });
      }
      return { done: events };
    },
    async race() {
      let count = 0;
      await Promise.all(
        range(writers).map(async (writer) => {
          for (const n of range(29)) {
            if (await accepted(() => library.rename("one", `name-${writer}-${n}`))) count++;
          }
        }),
      );
      return { accepted: count, read: await library.read("one") };
    },
    async gap() {
      if (!library.gap) return { offered: false };
      await library.open("one", "ann");
      return { offered: true, accepted: await accepted(() => library.gap("one", 5)) };
    },
    async lost() {
      let text = "";
      await library.rename("one", "ann").catch((error) => (text = String(error)));
      return { read: await library.read("one"), error: text };
    },
    async unique() {
      if (!library.unique) return { offered: false };
      const took = await Promise.all(range(writers).map((n) => library.unique(user(n), "ann@example.com")));
      return { offered: true, accepted: took.filter(Boolean).length };
    },
    async big() {
      let written = 0;
      while (written < events && (await accepted(() => library.rename("one", `${written}`.padEnd(10_000, "n"))))) written++;
      return { written, read: await library.read("one") };
    },
  };
  const task = tasks[process.argv.at(-1)] ?? (() => ({ offered: false }));
  try {
    console.log(JSON.stringify(await task()));
  } catch (error) {
    console.error(error.stack);
    console.error(String(error)); // the last line is what is reported
    process.exitCode = 1;
  }
}
