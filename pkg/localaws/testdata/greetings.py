"""Sends a greeting through each service and prints what comes back."""
import sys

import boto3

AWS = {
    "endpoint_url": sys.argv[1],
    "region_name": "us-east-1",
    "aws_access_key_id": "local",
    "aws_secret_access_key": "local",
}
sqs = boto3.client("sqs", **AWS)
queue = sqs.create_queue(QueueName="q")["QueueUrl"]
sqs.send_message(QueueUrl=queue, MessageBody="hello in SQS")
message = sqs.receive_message(QueueUrl=queue)["Messages"][0]["Body"]

kinesis = boto3.client("kinesis", **AWS)
kinesis.create_stream(StreamName="s", ShardCount=1)
put = kinesis.put_record(StreamName="s", PartitionKey="k", Data=b"hello in Kinesis")
iterator = kinesis.get_shard_iterator(StreamName="s", ShardId=put["ShardId"], ShardIteratorType="TRIM_HORIZON")
record = kinesis.get_records(ShardIterator=iterator["ShardIterator"])["Records"][0]["Data"].decode()

table = boto3.resource("dynamodb", **AWS).create_table(
    TableName="things",
    BillingMode="PAY_PER_REQUEST",
    AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
)
table.put_item(Item={"id": "1", "text": "hello in DynamoDB"})
item = table.get_item(Key={"id": "1"})["Item"]["text"]

account = boto3.client("sts", **AWS).get_caller_identity()["Account"]
print(message, record, item, account, sep=", ")
