// Subscribes to a shard and prints its first record and the protocol.
const aws = require("@aws-sdk/client-kinesis");

(async () => {
  const client = new aws.KinesisClient({
    endpoint: process.argv[2],
    region: "us-east-1",
    credentials: { accessKeyId: "local", secretAccessKey: "local" },
  });
  await client.send(new aws.CreateStreamCommand({ StreamName: "s", ShardCount: 1 }));
  const put = { StreamName: "s", PartitionKey: "k", Data: Buffer.from("hello") };
  const { ShardId } = await client.send(new aws.PutRecordCommand(put));
  const { StreamDescription } = await client.send(new aws.DescribeStreamCommand({ StreamName: "s" }));
  const register = { StreamARN: StreamDescription.StreamARN, ConsumerName: "c" };
  const { Consumer } = await client.send(new aws.RegisterStreamConsumerCommand(register));
  const subscribe = { ConsumerARN: Consumer.ConsumerARN, ShardId, StartingPosition: { Type: "TRIM_HORIZON" } };
  const { EventStream } = await client.send(new aws.SubscribeToShardCommand(subscribe));
  for await (const event of EventStream) {
    const [record] = event.SubscribeToShardEvent.Records;
    console.log(`${Buffer.from(record.Data)} over ${client.config.requestHandler.metadata.handlerProtocol}`);
    process.exit(0);
  }
})();
