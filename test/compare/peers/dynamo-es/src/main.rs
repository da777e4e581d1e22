//! Drives dynamo-es for test/compare: prints the outcome of one task as a line of JSON.
//!
//! The aggregate, its framework and the tables are as in the crates' documentation: commands go through
//! `CqrsFramework::execute`, and one that is refused by `AggregateConflict` is executed again. With `--snapshots` before the task,
//! the state is stored every 50 events, and loads begin there.

use std::env;
use std::fmt;

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::types::{AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType};
use aws_sdk_dynamodb::Client;
use cqrs_es::event_sink::EventSink;
use cqrs_es::persist::{PersistedEventRepository, PersistedEventStore, PersistenceError, SerializedEvent};
use cqrs_es::{Aggregate, AggregateError, CqrsFramework, DomainEvent, EventStore};
use dynamo_es::{DynamoCqrs, DynamoEventRepository};
use serde::{Deserialize, Serialize};
use serde_json::{json, Value};

const PER_WRITER: usize = 29;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Default, Serialize, Deserialize)]
struct User {
    email: String,
    names: usize,
}

enum Command {
    Register { email: String },
    Rename { first_name: String },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Event {
    Registered { email: String },
    Named { first_name: String },
}

impl DomainEvent for Event {
    fn event_type(&self) -> String {
        match self {
            Event::Registered { .. } => "Registered".to_string(),
            Event::Named { .. } => "Named".to_string(),
        }
    }

    fn event_version(&self) -> String {
        "1.0".to_string()
    }
}

#[derive(Debug)]
struct Refused(&'static str);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Refused {}

impl Aggregate for User {
    const TYPE: &'static str = "user";
    type Command = Command;
    type Event = Event;
    type Error = Refused;
    type Services = ();

    async fn handle(&mut self, command: Command, _: &(), sink: &EventSink<Self>) -> Result<(), Refused> {
        let registered = !self.email.is_empty();
        match command {
            Command::Register { .. } if registered => return Err(Refused("the user is registered")),
            Command::Rename { .. } if !registered => return Err(Refused("there is no such user")),
            Command::Register { email } => sink.write(Event::Registered { email }, self).await,
            Command::Rename { first_name } => sink.write(Event::Named { first_name }, self).await,
        }
        Ok(())
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Registered { email } => self.email = email,
            Event::Named { .. } => self.names += 1,
        }
    }
}

/// The tables of one task, and what uses them.
#[derive(Clone)]
struct Users {
    table: String,
    snapshots_every: Option<usize>,
}

impl Users {
    fn client() -> Client {
        let secret = env::var("AWS_SECRET_ACCESS_KEY").unwrap_or_else(|_| variable("AWS_SECRET"));
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(variable("AWS_ENDPOINT_URL"))
            .region(Region::new(variable("AWS_REGION")))
            .credentials_provider(Credentials::new(variable("AWS_ACCESS_KEY_ID"), secret, None, None, "environment"));
        Client::from_conf(config.build())
    }

    fn snapshots(&self) -> String {
        format!("{}-snapshots", self.table)
    }

    fn repository(&self) -> DynamoEventRepository {
        DynamoEventRepository::new(Self::client()).with_tables(&self.table, &self.snapshots())
    }

    /// As dynamodb_cqrs and dynamodb_snapshot_cqrs make it, with tables of other names.
    fn framework(&self) -> DynamoCqrs<User> {
        let store = match self.snapshots_every {
            None => PersistedEventStore::new_event_store(self.repository()),
            Some(events) => PersistedEventStore::new_snapshot_store(self.repository(), events),
        };
        CqrsFramework::new(store, vec![], ())
    }

    /// What a load sees of an aggregate.
    async fn names(&self, id: &str) -> Result<usize, Failure> {
        let store = match self.snapshots_every {
            None => PersistedEventStore::<_, User>::new_event_store(self.repository()),
            Some(events) => PersistedEventStore::new_snapshot_store(self.repository(), events),
        };
        Ok(store.load_aggregate(id).await?.aggregate.names)
    }
}

fn register() -> Command {
    Command::Register { email: "user@example.com".to_string() }
}

async fn rename(users: &DynamoCqrs<User>, id: &str, first_name: &str) -> Result<(), AggregateError<Refused>> {
    for _ in 0..100 {
        match users.execute(id, Command::Rename { first_name: first_name.to_string() }).await {
            Err(AggregateError::AggregateConflict) => {}
            done => return done,
        }
    }
    Err(AggregateError::AggregateConflict)
}

async fn setup(users: &Users) -> Result<Value, Failure> {
    let client = Users::client();
    let attribute = |name: &str, kind| AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build();
    let key = |name: &str, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build();
    client
        .create_table()
        .table_name(&users.table)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(attribute("AggregateTypeAndId", ScalarAttributeType::S)?)
        .attribute_definitions(attribute("AggregateIdSequence", ScalarAttributeType::N)?)
        .key_schema(key("AggregateTypeAndId", KeyType::Hash)?)
        .key_schema(key("AggregateIdSequence", KeyType::Range)?)
        .send()
        .await?;
    client
        .create_table()
        .table_name(users.snapshots())
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(attribute("AggregateTypeAndId", ScalarAttributeType::S)?)
        .key_schema(key("AggregateTypeAndId", KeyType::Hash)?)
        .send()
        .await?;
    let framework = users.framework();
    framework.execute("lost", register()).await?;
    for n in 0..number("STREAMS") {
        framework.execute(&n.to_string(), register()).await?;
    }
    Ok(json!({}))
}

async fn update(users: &Users) -> Result<Value, Failure> {
    let (framework, streams, events) = (users.framework(), number("STREAMS"), number("EVENTS"));
    for n in 0..events {
        rename(&framework, &(n % streams).to_string(), &format!("name {n}")).await?;
    }
    Ok(json!({"done": events}))
}

async fn open(users: &Users) -> Result<Value, Failure> {
    let (framework, events) = (users.framework(), number("EVENTS"));
    for n in 0..events {
        framework.execute(&format!("new-{n}"), register()).await?;
    }
    Ok(json!({"done": events}))
}

async fn bare(users: &Users) -> Result<Value, Failure> {
    let (client, events) = (Users::client(), number("EVENTS"));
    for n in 0..events {
        client
            .put_item()
            .table_name(&users.table)
            .item("AggregateTypeAndId", AttributeValue::S("user:bare".to_string()))
            .item("AggregateIdSequence", AttributeValue::N((n + 1).to_string()))
            .item("EventType", AttributeValue::S("Named".to_string()))
            .item("Payload", AttributeValue::S(format!("name {n}")))
            .send()
            .await?;
    }
    Ok(json!({"done": events}))
}

async fn race(users: &Users) -> Result<Value, Failure> {
    users.framework().execute("raced", register()).await?;
    let writers = (0..number("WRITERS")).map(|writer| {
        let own = users.framework();
        tokio::spawn(async move {
            let mut accepted = 0;
            for n in 0..PER_WRITER {
                if rename(&own, "raced", &format!("name {n} of {writer}")).await.is_ok() {
                    accepted += 1;
                }
            }
            accepted
        })
    });
    let mut accepted = 0;
    for writer in writers.collect::<Vec<_>>() {
        accepted += writer.await?;
    }
    Ok(json!({"accepted": accepted, "read": users.names("raced").await?}))
}

async fn gap(users: &Users) -> Result<Value, Failure> {
    users.framework().execute("gap", register()).await?;
    let event = Event::Named { first_name: "beyond".to_string() };
    let beyond = SerializedEvent::new(
        "gap".to_string(),
        1 + 5,
        User::TYPE.to_string(),
        event.event_type(),
        event.event_version(),
        serde_json::to_value(&event)?,
        json!({}),
    );
    match users.repository().persist::<User>(&[beyond], None).await {
        Ok(()) => Ok(json!({"accepted": true, "offered": true})),
        Err(PersistenceError::OptimisticLockError) => Ok(json!({"accepted": false, "offered": true})),
        Err(e) => Err(e.into()),
    }
}

/// Appends once; setup has opened the stream.
async fn lost(users: &Users) -> Result<Value, Failure> {
    let error = match rename(&users.framework(), "lost", "found").await {
        Ok(()) => String::new(),
        Err(e) => format!("{e:?}"),
    };
    Ok(json!({"read": users.names("lost").await?, "error": error}))
}

async fn big(users: &Users) -> Result<Value, Failure> {
    let (framework, events) = (users.framework(), number("EVENTS"));
    framework.execute("big", register()).await?;
    let mut written = 0;
    while written < events && rename(&framework, "big", &"x".repeat(10_000)).await.is_ok() {
        written += 1;
    }
    Ok(json!({"written": written, "read": users.names("big").await?}))
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

fn number(name: &str) -> usize {
    variable(name).parse().unwrap_or_else(|_| panic!("{name} is not a number"))
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let args: Vec<String> = env::args().skip(1).collect();
    let (task, options) = args.split_last().expect("a task is missing");
    let snapshots_every = options.iter().any(|o| o == "--snapshots").then_some(50);
    let users = Users { table: variable("TABLE"), snapshots_every };
    let outcome = match task.as_str() {
        "setup" => setup(&users).await?,
        "update" => update(&users).await?,
        "open" => open(&users).await?,
        "bare" => bare(&users).await?,
        "race" => race(&users).await?,
        "gap" => gap(&users).await?,
        "lost" => lost(&users).await?,
        "big" => big(&users).await?,
        _ => json!({"offered": false}),
    };
    println!("{outcome}");
    Ok(())
}
