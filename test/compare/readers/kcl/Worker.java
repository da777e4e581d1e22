import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import software.amazon.awssdk.auth.credentials.EnvironmentVariableCredentialsProvider;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.cloudwatch.CloudWatchAsyncClient;
import software.amazon.awssdk.services.dynamodb.DynamoDbAsyncClient;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.kinesis.common.ConfigsBuilder;
import software.amazon.kinesis.common.InitialPositionInStream;
import software.amazon.kinesis.common.InitialPositionInStreamExtended;
import software.amazon.kinesis.common.KinesisClientUtil;
import software.amazon.kinesis.coordinator.Scheduler;
import software.amazon.kinesis.lifecycle.events.InitializationInput;
import software.amazon.kinesis.lifecycle.events.LeaseLostInput;
import software.amazon.kinesis.lifecycle.events.ProcessRecordsInput;
import software.amazon.kinesis.lifecycle.events.ShardEndedInput;
import software.amazon.kinesis.lifecycle.events.ShutdownRequestedInput;
import software.amazon.kinesis.metrics.NullMetricsFactory;
import software.amazon.kinesis.processor.RecordProcessorCheckpointer;
import software.amazon.kinesis.processor.ShardRecordProcessor;
import software.amazon.kinesis.processor.SingleStreamTracker;
import software.amazon.kinesis.retrieval.polling.PollingConfig;

/** Reads a stream by the Kinesis Client Library and posts its records, until standard input ends. */
public class Worker {
  /** Between two checkpoints of a shard, as with package shards. */
  static final long CHECKPOINT_NANOS = TimeUnit.SECONDS.toNanos(1);

  /** Takes the URL to post to, the stream, the worker's name and the failover time in milliseconds; 0 leaves all defaults. */
  public static void main(String[] args) throws Exception {
    URI sink = URI.create(args[0]);
    String stream = args[1];
    String name = args[2];
    long failover = Long.parseLong(args[3]);

    URI endpoint = URI.create(System.getenv("AWS_ENDPOINT_URL"));
    Region region = Region.of(System.getenv("AWS_REGION"));
    var credentials = EnvironmentVariableCredentialsProvider.create();
    KinesisAsyncClient kinesis = KinesisClientUtil.createKinesisAsyncClient(
        KinesisAsyncClient.builder().endpointOverride(endpoint).region(region).credentialsProvider(credentials));
    var dynamodb = DynamoDbAsyncClient.builder().endpointOverride(endpoint).region(region).credentialsProvider(credentials).build();
    var cloudwatch = CloudWatchAsyncClient.builder().endpointOverride(endpoint).region(region).credentialsProvider(credentials).build();
    var start = InitialPositionInStreamExtended.newInitialPosition(InitialPositionInStream.TRIM_HORIZON);
    var configs = new ConfigsBuilder(new SingleStreamTracker(stream, start), "readers", kinesis, dynamodb, cloudwatch, name,
        () -> new Processor(sink));

    // What there is only on AWS: CloudWatch, and a machine that tells how busy it is.
    var metrics = configs.metricsConfig().metricsFactory(new NullMetricsFactory());
    var leases = configs.leaseManagementConfig();
    leases.workerUtilizationAwareAssignmentConfig().disableWorkerMetrics(true);
    var coordinator = configs.coordinatorConfig();
    var retrieval = configs.retrievalConfig();
    if (failover > 0) {
      leases.failoverTimeMillis(failover).shardSyncIntervalMillis(failover)
          .leasesRecoveryAuditorExecutionFrequencyMillis(failover).leasesRecoveryAuditorInconsistencyConfidenceThreshold(1);
      coordinator.parentShardPollIntervalMillis(200).shardConsumerDispatchPollIntervalMillis(50);
      retrieval.retrievalSpecificConfig(new PollingConfig(stream, kinesis).idleTimeBetweenReadsInMillis(200));
    }
    var scheduler = new Scheduler(configs.checkpointConfig(), coordinator, leases, configs.lifecycleConfig(), metrics,
        configs.processorConfig(), retrieval);
    new Thread(scheduler, "scheduler").start();
    while (System.in.read() >= 0) {}
    try {
      scheduler.startGracefulShutdown().get(60, TimeUnit.SECONDS);
    } finally {
      System.exit(0); // its threads would keep the process
    }
  }

  static class Processor implements ShardRecordProcessor {
    final HttpClient http = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
    final URI sink;
    long checkpointed = System.nanoTime();

    Processor(URI sink) {
      this.sink = sink;
    }

    public void initialize(InitializationInput input) {}

    public void processRecords(ProcessRecordsInput input) {
      if (input.records().isEmpty()) {
        return;
      }
      String batch = input.records().stream()
          .map(r -> r.partitionKey() + " " + StandardCharsets.UTF_8.decode(r.data()) + "\n").collect(Collectors.joining());
      try {
        var request = HttpRequest.newBuilder(sink).POST(HttpRequest.BodyPublishers.ofString(batch)).build();
        if (http.send(request, HttpResponse.BodyHandlers.discarding()).statusCode() != 204) {
          throw new IllegalStateException("the batch was refused");
        }
      } catch (Exception e) {
        throw new IllegalStateException(e);
      }
      if (System.nanoTime() - checkpointed >= CHECKPOINT_NANOS) {
        checkpoint(input.checkpointer());
        checkpointed = System.nanoTime();
      }
    }

    public void leaseLost(LeaseLostInput input) {}

    public void shardEnded(ShardEndedInput input) {
      checkpoint(input.checkpointer());
    }

    public void shutdownRequested(ShutdownRequestedInput input) {
      checkpoint(input.checkpointer());
    }

    void checkpoint(RecordProcessorCheckpointer checkpointer) {
      try {
        checkpointer.checkpoint();
      } catch (Exception e) {
        throw new IllegalStateException(e);
      }
    }
  }
}
