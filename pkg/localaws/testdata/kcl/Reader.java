import com.amazonaws.services.dynamodbv2.streamsadapter.AmazonDynamoDBStreamsAdapterClient;
import com.amazonaws.services.dynamodbv2.streamsadapter.StreamsSchedulerFactory;
import com.amazonaws.services.dynamodbv2.streamsadapter.adapter.DynamoDBStreamsClientRecord;
import com.amazonaws.services.dynamodbv2.streamsadapter.model.DynamoDBStreamsProcessRecordsInput;
import com.amazonaws.services.dynamodbv2.streamsadapter.polling.DynamoDBStreamsPollingConfig;
import com.amazonaws.services.dynamodbv2.streamsadapter.processor.DynamoDBStreamsShardRecordProcessor;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.TimeUnit;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.cloudwatch.CloudWatchAsyncClient;
import software.amazon.awssdk.services.dynamodb.DynamoDbAsyncClient;
import software.amazon.awssdk.services.dynamodb.streams.DynamoDbStreamsClient;
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

/** Prints every record of a stream, a line each: its partition key, or the key "id" of its item, a tab and its data. */
public class Reader {
  /** Takes the endpoint, "fanout", "polling" or "dynamodb", and the stream; runs until its standard input ends. */
  public static void main(String[] args) throws Exception {
    URI endpoint = URI.create(args[0]);
    String mode = args[1];
    String stream = args[2];
    var credentials = StaticCredentialsProvider.create(AwsBasicCredentials.create("local", "local"));
    var start = InitialPositionInStreamExtended.newInitialPosition(InitialPositionInStream.TRIM_HORIZON);

    KinesisAsyncClient kinesis = KinesisClientUtil.createKinesisAsyncClient(
        KinesisAsyncClient.builder().endpointOverride(endpoint).region(Region.US_EAST_1).credentialsProvider(credentials));
    var dynamodb =
        DynamoDbAsyncClient.builder().endpointOverride(endpoint).region(Region.US_EAST_1).credentialsProvider(credentials).build();
    var cloudwatch = // never called: see metricsFactory
        CloudWatchAsyncClient.builder().endpointOverride(endpoint).region(Region.US_EAST_1).credentialsProvider(credentials).build();
    var adapter = new AmazonDynamoDBStreamsAdapterClient(DynamoDbStreamsClient.builder()
        .endpointOverride(endpoint).region(Region.US_EAST_1).credentialsProvider(credentials).build(), Region.US_EAST_1);
    boolean ofTable = mode.equals("dynamodb");
    var configs = ofTable
        ? new ConfigsBuilder(StreamsSchedulerFactory.createSingleStreamTracker(stream, start), "reader-" + mode, adapter, dynamodb,
            cloudwatch, "worker", ItemPrinter::new)
        : new ConfigsBuilder(new SingleStreamTracker(stream, start), "reader-" + mode, kinesis, dynamodb, cloudwatch, "worker",
            RecordPrinter::new);

    var leases = configs.leaseManagementConfig().shardSyncIntervalMillis(1_000).failoverTimeMillis(2_000)
        .leasesRecoveryAuditorExecutionFrequencyMillis(2_000).leasesRecoveryAuditorInconsistencyConfidenceThreshold(1);
    leases.workerUtilizationAwareAssignmentConfig().disableWorkerMetrics(true); // they ask the machine it runs on
    var coordinator = configs.coordinatorConfig().parentShardPollIntervalMillis(200).shardConsumerDispatchPollIntervalMillis(50);
    var metrics = configs.metricsConfig().metricsFactory(new NullMetricsFactory());
    var retrieval = configs.retrievalConfig();
    Scheduler scheduler;
    if (ofTable) {
      retrieval.retrievalSpecificConfig(new DynamoDBStreamsPollingConfig(stream, adapter).idleTimeBetweenReadsInMillis(200));
      scheduler = StreamsSchedulerFactory.createScheduler(configs.checkpointConfig(), coordinator, leases, configs.lifecycleConfig(),
          metrics, configs.processorConfig(), retrieval, adapter);
    } else {
      if (mode.equals("polling")) {
        retrieval.retrievalSpecificConfig(new PollingConfig(stream, kinesis).idleTimeBetweenReadsInMillis(200));
      }
      scheduler = new Scheduler(configs.checkpointConfig(), coordinator, leases, configs.lifecycleConfig(), metrics,
          configs.processorConfig(), retrieval);
    }
    new Thread(scheduler, "scheduler").start();
    while (System.in.read() >= 0) {}
    try {
      scheduler.startGracefulShutdown().get(30, TimeUnit.SECONDS);
    } finally {
      System.exit(0); // its threads would keep the process
    }
  }

  static synchronized void print(String key, String data) {
    System.out.println(key + "\t" + data);
  }

  /** Checkpoints as a processor must. */
  abstract static class Processor implements ShardRecordProcessor {
    public void initialize(InitializationInput input) {
      System.err.println("reading " + input.shardId() + " from " + input.extendedSequenceNumber());
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

  static class RecordPrinter extends Processor {
    public void processRecords(ProcessRecordsInput input) {
      input.records().forEach(r -> print(r.partitionKey(), StandardCharsets.UTF_8.decode(r.data()).toString()));
      if (!input.records().isEmpty()) {
        checkpoint(input.checkpointer());
      }
    }
  }

  static class ItemPrinter extends Processor implements DynamoDBStreamsShardRecordProcessor {
    public void processRecords(DynamoDBStreamsProcessRecordsInput input) {
      for (DynamoDBStreamsClientRecord r : input.records()) {
        var item = r.getRecord().dynamodb().newImage();
        print(item.get("id").s(), item.get("n").n());
      }
      if (!input.records().isEmpty()) {
        checkpoint(input.checkpointer());
      }
    }

    public void processRecords(ProcessRecordsInput input) {
      DynamoDBStreamsShardRecordProcessor.super.processRecords(input);
    }
  }
}
