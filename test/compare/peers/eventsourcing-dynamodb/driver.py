"""Drives eventsourcing-dynamodb for test/compare: prints the outcome of one task as a line of JSON.

Aggregates, application and configuration are as in the README of the package, conflicts as in the documentation of
eventsourcing: IntegrityError is retried. Nothing documents the table's keys; these are the ones that its recorder reads by.
"""

import json
import os
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import IntegrityError, PersistenceError
from eventsourcing.utils import retry

ENDPOINT = os.environ["AWS_ENDPOINT_URL"]
TABLE = os.environ["TABLE"]
STREAMS = int(os.environ.get("STREAMS", "1"))
EVENTS = int(os.environ.get("EVENTS", "0"))
WRITERS = int(os.environ.get("WRITERS", "8"))
PER_WRITER = 29

os.environ["AWS_DEFAULT_REGION"] = os.environ["AWS_REGION"]
os.environ["AWS_SECRET_ACCESS_KEY"] = os.environ.get("AWS_SECRET_ACCESS_KEY") or os.environ["AWS_SECRET"]
os.environ["PERSISTENCE_MODULE"] = "eventsourcing_dynamodb"
os.environ["DYNAMO_ENDPOINT_URL"] = ENDPOINT
os.environ["DYNAMO_TABLE"] = TABLE


def user_id(name):
    return uuid.uuid5(uuid.NAMESPACE_URL, f"/users/{name}")


class User(Aggregate):
    @event("Registered")
    def __init__(self, name, email):
        self.email = email
        self.names = 0

    @staticmethod
    def create_id(name):
        return user_id(name)

    @event("Named")
    def rename(self, first_name):
        self.names += 1


class Email(Aggregate):
    """Is the only one of its e-mail, because its ID follows from it."""

    @event("Claimed")
    def __init__(self, email, user_id):
        self.email = email
        self.user_id = user_id

    @staticmethod
    def create_id(email):
        return uuid.uuid5(uuid.NAMESPACE_URL, f"/emails/{email}")


class Users(Application):
    def register(self, name):
        self.save(User(name, f"{name}@example.com"))

    def register_unique(self, name, email):
        user = User(name, email)
        self.save(user, Email(email, user.id))  # in one transaction, where a recorder has them

    @retry(IntegrityError, max_attempts=100)
    def rename(self, name, first_name):
        user = self.repository.get(user_id(name))
        user.rename(first_name)
        self.save(user)

    def names(self, name):
        return self.repository.get(user_id(name)).names


def setup():
    dynamodb = boto3.client("dynamodb", endpoint_url=ENDPOINT)
    dynamodb.create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": "originator_id", "AttributeType": "S"},
            {"AttributeName": "originator_version", "AttributeType": "N"},
        ],
        KeySchema=[
            {"AttributeName": "originator_id", "KeyType": "HASH"},
            {"AttributeName": "originator_version", "KeyType": "RANGE"},
        ],
    )
    dynamodb.get_waiter("table_exists").wait(TableName=TABLE)
    users = Users()
    for name in ["lost", *range(STREAMS)]:
        users.register(name)
    return {}


def update():
    users = Users()
    for n in range(EVENTS):
        users.rename(n % STREAMS, f"name {n}")
    return {"done": EVENTS}


def open_streams():
    users = Users()
    for n in range(EVENTS):
        users.register(f"new-{n}")
    return {"done": EVENTS}


def bare():
    table = boto3.resource("dynamodb", endpoint_url=ENDPOINT).Table(TABLE)
    for n in range(EVENTS):
        table.put_item(
            Item={
                "originator_id": str(user_id("bare")),
                "originator_version": n + 1,
                "topic": "__main__:User.Named",
                "state": b'{"timestamp":{"_type_":"datetime_iso","_data_":"2026-11-28T17:00:00.000000+00:00"},"first_name":"name %d"}' % n,
                "created_at": int(time.time()),
            }
        )
    return {"done": EVENTS}


def in_parallel(work):
    with ThreadPoolExecutor(WRITERS) as writers:
        return list(writers.map(work, range(WRITERS)))


def race():
    users = Users()
    users.register("raced")

    def write(writer):
        own, accepted = Users(), 0  # a client of boto3 for each writer, as for processes of their own
        for n in range(PER_WRITER):
            try:
                own.rename("raced", f"name {n} of {writer}")
                accepted += 1
            except IntegrityError:
                pass
        return accepted

    accepted = sum(in_parallel(write))
    return {"accepted": accepted, "read": users.names("raced")}


def gap():
    users = Users()
    users.register("gap")
    user = users.repository.get(user_id("gap"))
    for n in range(6):
        user.rename(f"name {n}")
    try:
        users.events.put(user.collect_events()[5:])
        return {"accepted": True, "offered": True}
    except IntegrityError:
        return {"accepted": False, "offered": True}


def lost():
    """Appends once; setup has opened the stream."""
    users, error = Users(), ""
    try:
        users.rename("lost", "found")
    except (BotoCoreError, ClientError, PersistenceError) as e:
        error = f"{type(e).__name__}: {e}"
    return {"read": users.names("lost"), "error": error}


def unique():
    def register(writer):
        try:
            Users().register_unique(writer, "unique@example.com")
            return 1
        except IntegrityError:
            return 0

    return {"offered": True, "accepted": sum(in_parallel(register))}


def big():
    users = Users()
    users.register("big")
    for _ in range(EVENTS):
        users.rename("big", "x" * 10_000)
    return {"written": EVENTS, "read": users.names("big")}


TASKS = {
    "setup": setup,
    "update": update,
    "open": open_streams,
    "bare": bare,
    "race": race,
    "gap": gap,
    "lost": lost,
    "unique": unique,
    "big": big,
}

if __name__ == "__main__":
    print(json.dumps(TASKS[sys.argv[1]]()))
