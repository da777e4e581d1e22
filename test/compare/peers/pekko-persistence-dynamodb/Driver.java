import com.amazonaws.auth.AWSStaticCredentialsProvider;
import com.amazonaws.auth.BasicAWSCredentials;
import com.amazonaws.client.builder.AwsClientBuilder.EndpointConfiguration;
import com.amazonaws.services.dynamodbv2.AmazonDynamoDB;
import com.amazonaws.services.dynamodbv2.AmazonDynamoDBClientBuilder;
import com.amazonaws.services.dynamodbv2.model.AttributeDefinition;
import com.amazonaws.services.dynamodbv2.model.AttributeValue;
import com.amazonaws.services.dynamodbv2.model.BillingMode;
import com.amazonaws.services.dynamodbv2.model.CreateTableRequest;
import com.amazonaws.services.dynamodbv2.model.KeySchemaElement;
import com.amazonaws.services.dynamodbv2.model.KeyType;
import com.amazonaws.services.dynamodbv2.model.ScalarAttributeType;
import com.fasterxml.jackson.annotation.JsonSubTypes;
import com.fasterxml.jackson.annotation.JsonTypeInfo;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.function.IntFunction;
import org.apache.pekko.Done;
import org.apache.pekko.actor.typed.ActorRef;
import org.apache.pekko.actor.typed.ActorSystem;
import org.apache.pekko.actor.typed.Props;
import org.apache.pekko.actor.typed.javadsl.AskPattern;
import org.apache.pekko.actor.typed.javadsl.Behaviors;
import org.apache.pekko.pattern.StatusReply;
import org.apache.pekko.persistence.typed.PersistenceId;
import org.apache.pekko.persistence.typed.javadsl.CommandHandler;
import org.apache.pekko.persistence.typed.javadsl.EventHandler;
import org.apache.pekko.persistence.typed.javadsl.EventSourcedBehavior;

/**
 * Drives pekko-persistence-dynamodb for test/compare: prints the outcome of one task as a line of JSON.
 *
 * <p>Entities are typed EventSourcedBehaviors, events are stored by Jackson, and all commands for one entity go to one actor, as the
 * documentation says. With "split" before the task, it does only race, with an actor of the entity for each writer, as if each were a node
 * of its own; Cluster Sharding prevents that.
 */
public class Driver {
  static final int PER_WRITER = 29;
  static final Duration PATIENCE = Duration.ofSeconds(30);

  interface Command {}

  record Register(String email, ActorRef<StatusReply<Done>> replyTo) implements Command {}

  record Rename(String firstName, ActorRef<StatusReply<Done>> replyTo) implements Command {}

  record CountNames(ActorRef<StatusReply<Integer>> replyTo) implements Command {}

  @JsonTypeInfo(use = JsonTypeInfo.Id.NAME)
  @JsonSubTypes({@JsonSubTypes.Type(Registered.class), @JsonSubTypes.Type(Named.class)})
  interface Stored {}

  record Registered(String email) implements Stored {}

  record Named(String firstName) implements Stored {}

  record State(String email, int names) {}

  static class User extends EventSourcedBehavior<Command, Stored, State> {
    User(String id) {
      super(PersistenceId.of("User", id));
    }

    @Override
    public State emptyState() {
      return new State("", 0);
    }

    @Override
    public CommandHandler<Command, Stored, State> commandHandler() {
      return newCommandHandlerBuilder()
          .forAnyState()
          .onCommand(
              Register.class,
              (state, c) ->
                  state.email().isEmpty()
                      ? Effect().persist(new Registered(c.email())).thenReply(c.replyTo(), s -> StatusReply.ack())
                      : Effect().reply(c.replyTo(), StatusReply.error("the user is registered")))
          .onCommand(
              Rename.class,
              (state, c) ->
                  state.email().isEmpty()
                      ? Effect().reply(c.replyTo(), StatusReply.error("there is no such user"))
                      : Effect().persist(new Named(c.firstName())).thenReply(c.replyTo(), s -> StatusReply.ack()))
          .onCommand(CountNames.class, (state, c) -> Effect().reply(c.replyTo(), StatusReply.success(state.names())))
          .build();
    }

    @Override
    public EventHandler<State, Stored> eventHandler() {
      return newEventHandlerBuilder()
          .forAnyState()
          .onEvent(Registered.class, (state, e) -> new State(e.email(), state.names()))
          .onEvent(Named.class, (state, e) -> new State(state.email(), state.names() + 1))
          .build();
    }
  }

  /** The running entities. */
  static class Users implements AutoCloseable {
    final ActorSystem<Void> system = ActorSystem.create(Behaviors.empty(), "compare");

    /** Starts the entity's actor, which recovers its state first. */
    ActorRef<Command> start(String id) {
      return system.systemActorOf(new User(id), "user-" + UUID.randomUUID(), Props.empty());
    }

    ActorRef<Command> register(String id) {
      var user = start(id);
      AskPattern.<Command, Done>askWithStatus(user, r -> new Register("user@example.com", r), PATIENCE, system.scheduler())
          .toCompletableFuture().join();
      return user;
    }

    void rename(ActorRef<Command> user, String firstName) {
      AskPattern.<Command, Done>askWithStatus(user, r -> new Rename(firstName, r), PATIENCE, system.scheduler())
          .toCompletableFuture().join();
    }

    /** Recovers the entity in an actor of its own. */
    int storedNames(String id) {
      return AskPattern.<Command, Integer>askWithStatus(start(id), CountNames::new, PATIENCE, system.scheduler())
          .toCompletableFuture().join();
    }

    @Override
    public void close() {
      system.terminate();
      system.getWhenTerminated().toCompletableFuture().join();
    }
  }

  static String variable(String name) {
    return System.getenv().getOrDefault(name, "");
  }

  static int number(String name) {
    return Integer.parseInt(variable(name));
  }

  static AmazonDynamoDB client() {
    return AmazonDynamoDBClientBuilder.standard()
        .withEndpointConfiguration(new EndpointConfiguration(variable("AWS_ENDPOINT_URL"), variable("AWS_REGION")))
        .withCredentials(
            new AWSStaticCredentialsProvider(new BasicAWSCredentials(variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY"))))
        .build();
  }

  static String setup() {
    client()
        .createTable(
            new CreateTableRequest()
                .withTableName(variable("TABLE"))
                .withBillingMode(BillingMode.PAY_PER_REQUEST)
                .withKeySchema(new KeySchemaElement("par", KeyType.HASH), new KeySchemaElement("num", KeyType.RANGE))
                .withAttributeDefinitions(
                    new AttributeDefinition("par", ScalarAttributeType.S), new AttributeDefinition("num", ScalarAttributeType.N)));
    try (var users = new Users()) {
      users.register("lost");
      for (int n = 0; n < number("STREAMS"); n++) {
        users.register("user-" + n);
      }
    }
    return "{}";
  }

  static String update() {
    try (var users = new Users()) {
      Map<String, ActorRef<Command>> started = new HashMap<>();
      for (int n = 0; n < number("EVENTS"); n++) {
        users.rename(started.computeIfAbsent("user-" + n % number("STREAMS"), users::start), "name " + n);
      }
    }
    return done();
  }

  static String open() {
    try (var users = new Users()) {
      for (int n = 0; n < number("EVENTS"); n++) {
        users.register("new-" + n);
      }
    }
    return done();
  }

  static String bare() {
    var client = client();
    for (int n = 0; n < number("EVENTS"); n++) {
      client.putItem(
          variable("TABLE"),
          Map.of(
              "par", new AttributeValue("compare-P-User|bare-0"),
              "num", new AttributeValue().withN(String.valueOf(n)),
              "seq", new AttributeValue().withN(String.valueOf(n)),
              "persistence_id", new AttributeValue("User|bare"),
              "writer_uuid", new AttributeValue("71ede9ad-3609-420f-88c9-3fd8c4cf60cc"),
              "ev_ser_id", new AttributeValue().withN("33"),
              "ev_ser_manifest", new AttributeValue("Driver$Named"),
              "event", new AttributeValue("{\"@type\":\"Driver$Named\",\"firstName\":\"name " + n + "\"}")));
    }
    return done();
  }

  static String done() {
    return String.format("{\"done\": %d}", number("EVENTS"));
  }

  /** Each writer sends its commands to the actor that it gets, one after the other. */
  static String race(Users users, IntFunction<ActorRef<Command>> actors) {
    List<CompletableFuture<Integer>> writers = new ArrayList<>();
    for (int i = 0; i < number("WRITERS"); i++) {
      int writer = i;
      var user = actors.apply(writer);
      writers.add(
          CompletableFuture.supplyAsync(
              () -> {
                for (int n = 0; n < PER_WRITER; n++) {
                  users.rename(user, "name " + n + " of " + writer);
                }
                return PER_WRITER;
              },
              task -> new Thread(task).start()));
    }
    int accepted = writers.stream().mapToInt(CompletableFuture::join).sum();
    return String.format("{\"accepted\": %d, \"read\": %d}", accepted, users.storedNames("raced"));
  }

  static String race() {
    try (var users = new Users()) {
      var user = users.register("raced");
      return race(users, writer -> user);
    }
  }

  static String split() {
    try (var users = new Users()) {
      users.register("raced");
      return race(users, writer -> users.start("raced"));
    }
  }

  /** Appends once; setup has opened the stream. */
  static String lost() {
    try (var users = new Users()) {
      var error = "";
      try {
        users.rename(users.start("lost"), "found");
      } catch (CompletionException e) {
        error = String.valueOf(e.getCause()).replaceAll("[\"\\\\\\s]+", " ");
      }
      return String.format("{\"read\": %d, \"error\": \"%s\"}", users.storedNames("lost"), error);
    }
  }

  static String big() {
    try (var users = new Users()) {
      var user = users.register("big");
      for (int n = 0; n < number("EVENTS"); n++) {
        users.rename(user, "x".repeat(10_000));
      }
      return String.format("{\"written\": %d, \"read\": %d}", number("EVENTS"), users.storedNames("big"));
    }
  }

  public static void main(String[] args) {
    System.out.println(
        switch (String.join(" ", args)) {
          case "split setup" -> setup();
          case "split race" -> split();
          case "setup" -> setup();
          case "update" -> update();
          case "open" -> open();
          case "bare" -> bare();
          case "race" -> race();
          case "lost" -> lost();
          case "big" -> big();
          default -> "{\"offered\": false}"; // gap: an entity numbers its events itself; unique: nothing for it
        });
    System.exit(0); // the AWS SDK's threads would keep the process
  }
}
