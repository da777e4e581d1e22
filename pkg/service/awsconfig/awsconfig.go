// Package awsconfig configures the AWS SDK for a process, counts and traces its calls, and checks the resources it needs.
package awsconfig

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/leftfold/leftfold/pkg/engine/awscall"
	"github.com/leftfold/leftfold/pkg/engine/eventtrace"
)

// Load reads the SDK's usual sources: environment (AWS_REGION, AWS_ENDPOINT_URL, credentials), files, the task's role. Each
// attempt of a call has a deadline, those that fetch credentials included.
func Load(ctx context.Context) (aws.Config, error) {
	cfg, err := config.LoadDefaultConfig(ctx, config.WithAPIOptions([]func(*middleware.Stack) error{awscall.Deadlines}))
	if err != nil {
		return aws.Config{}, fmt.Errorf("load AWS configuration: %w", err)
	}
	if cfg.Region == "" {
		return aws.Config{}, errors.New("AWS_REGION is not set")
	}
	return awscall.Configure(cfg), nil
}

// Instrument returns cfg with every attempt counted in aws_calls_total{api,operation,outcome}: ok, throttled,
// refused (an answer such as a failed condition), timeout (no answer by the deadline of package awscall) or failed. Every call
// within a trace is a span of traces, unless that is nil or does nothing: then it costs nothing.
func Instrument(cfg aws.Config, reg prometheus.Registerer, traces trace.TracerProvider) aws.Config {
	calls := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "aws_calls_total", Help: "Attempts of AWS calls by what came of them.",
	}, []string{"api", "operation", "outcome"})
	reg.MustRegister(calls)
	count := middleware.DeserializeMiddlewareFunc("leftfold.CountCalls", func(
		ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler,
	) (middleware.DeserializeOutput, middleware.Metadata, error) {
		out, md, err := next.HandleDeserialize(ctx, in)
		outcome := "ok"
		_, late := errors.AsType[*awscall.TimeoutError](err)
		switch answer, _ := out.RawResponse.(*smithyhttp.Response); {
		case err == nil:
		case late:
			outcome = "timeout"
		case Throttled(err):
			outcome = "throttled"
		case answer != nil && answer.StatusCode/100 == 4:
			outcome = "refused"
		default:
			outcome = "failed"
		}
		calls.WithLabelValues(awsmiddleware.GetServiceID(ctx), awsmiddleware.GetOperationName(ctx), outcome).Inc()
		return out, md, err
	})
	cfg.APIOptions = append(slices.Clip(cfg.APIOptions), func(stack *middleware.Stack) error {
		return stack.Deserialize.Add(count, middleware.Before)
	})
	tracer := eventtrace.Tracer(traces, "pkg/service/awsconfig")
	if _, off := tracer.(noop.Tracer); off {
		return cfg
	}
	cfg.APIOptions = append(cfg.APIOptions, func(stack *middleware.Stack) error {
		return stack.Initialize.Add(spans(tracer), middleware.After) // then the service and the operation are known
	})
	return cfg
}

// Throttled reports whether an error is AWS's answer to too many calls.
func Throttled(err error) bool {
	return retry.IsErrorThrottles(retry.DefaultThrottles).IsErrorThrottle(err) == aws.TrueTernary
}

// Logger returns a logger for the SDK that writes to log.
func Logger(log *slog.Logger) logging.Logger { return sdkLogger{context.Background(), log} }

type sdkLogger struct {
	ctx context.Context // smithy hands a logger the context of its call this way
	log *slog.Logger
}

// WithContext implements logging.ContextLogger.
func (l sdkLogger) WithContext(ctx context.Context) logging.Logger {
	l.ctx = ctx
	return l
}

// Logf implements logging.Logger.
func (l sdkLogger) Logf(c logging.Classification, format string, v ...any) {
	level := slog.LevelDebug
	if c == logging.Warn {
		level = slog.LevelWarn
	}
	l.log.LogAttrs(l.ctx, level, "aws sdk", slog.String("detail", fmt.Sprintf(format, v...)))
}
