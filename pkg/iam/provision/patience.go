package provision

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/leftfold/leftfold/pkg/engine/awscall"
	"github.com/leftfold/leftfold/pkg/retry"
)

// patiently repeats do while no AWS answers, until patience is over.
func patiently(ctx context.Context, cfg aws.Config, patience time.Duration, do func() error) error {
	backoff := retry.Backoff{First: time.Second, Max: 2 * time.Second}
	patient, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for failures := 1; ; failures++ {
		err := do()
		switch {
		case err == nil || patience <= 0 || !away(err):
			return err
		case patient.Err() == nil && backoff.Wait(patient, failures) == nil:
		case ctx.Err() != nil:
			return context.Cause(ctx)
		default:
			return fmt.Errorf("no AWS has answered at %s for %s: does one run there? AWS_ENDPOINT_URL names the place, "+
				"PROVISION_PATIENCE the time, and COMPOSE_PROFILES (localstack or embedded) the one that Docker Compose starts: %w",
				cmp.Or(aws.ToString(cfg.BaseEndpoint), cfg.Region), patience, err)
		}
	}
}

// away reports whether an error says that no AWS answered, or one that does not work yet.
func away(err error) bool {
	if _, unreachable := errors.AsType[*smithyhttp.RequestSendError](err); unreachable {
		return true
	}
	if _, silent := errors.AsType[*awscall.TimeoutError](err); silent {
		return true
	}
	answer, ok := errors.AsType[*smithyhttp.ResponseError](err)
	return ok && answer.HTTPStatusCode() >= http.StatusInternalServerError
}
