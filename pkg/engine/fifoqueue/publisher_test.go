package fifoqueue_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/fifoqueue"
	"github.com/leftfold/leftfold/pkg/engine/ordered"
	"github.com/leftfold/leftfold/pkg/retry"
)

func TestThePublisherKeepsOrderThroughPartialFailures(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, b *fixture) {
		turn := 0
		b.client.send = func(in *sqs.SendMessageBatchInput) (*sqs.SendMessageBatchOutput, error) {
			if turn++; turn%2 == 0 { // the first of the batch fails, the others are sent
				first := in.Entries[0]
				in.Entries = in.Entries[1:]
				out := &sqs.SendMessageBatchOutput{}
				if len(in.Entries) > 0 {
					var err error
					if out, err = b.client.Client.SendMessageBatch(t.Context(), in); err != nil {
						return nil, err
					}
				}
				out.Failed = append(out.Failed, types.BatchResultErrorEntry{Id: first.Id, Code: aws.String("InternalError")})
				return out, nil
			}
			return nil, nil
		}
		b.send(0, 20, "a", "b", "c")
		c := b.consume(b.handle)
		after(5 * time.Second)
		for _, g := range []string{"a", "b", "c"} {
			assert.Equal(t, names(g, 20), b.got(g))
		}
		c.end()
	})
}

func TestThePublisherResendsEntriesThatTheAnswerLeavesOut(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, b *fixture) {
		turn := 0
		b.client.send = func(*sqs.SendMessageBatchInput) (*sqs.SendMessageBatchOutput, error) {
			if turn++; turn == 1 {
				return &sqs.SendMessageBatchOutput{}, nil
			}
			return nil, nil
		}
		b.send(0, 1, "a")
		assert.Equal(t, "1 visible, 0 in flight", b.left(b.url))
	})
}

func TestThePublisherReportsMessagesThatCannotBeSent(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, b *fixture) {
		p := fifoqueue.NewPublisher(b.client, b.url, retry.Backoff{})
		bad := fifoqueue.Outgoing{Group: "a", DeduplicationID: "1", Body: []byte("\x01")}
		good := fifoqueue.Outgoing{Group: "b", DeduplicationID: "2", Body: []byte("x")}
		err := p.Publish(t.Context(), []fifoqueue.Outgoing{bad})
		require.ErrorIs(t, err, ordered.ErrPermanent)
		require.ErrorContains(t, err, "live.fifo")
		big := fifoqueue.Outgoing{Group: "c", DeduplicationID: "3", Body: make([]byte, 1<<20+1)}
		require.ErrorIs(t, p.Publish(t.Context(), []fifoqueue.Outgoing{good, big}), ordered.ErrTooLarge)
		require.ErrorContains(t, p.Publish(t.Context(), []fifoqueue.Outgoing{{Group: "a", Body: []byte("x")}}), "required")
	})
}

// TestOnlyWhatAMessageSaysIsPermanent: each code is as SQS reports it for an entry, with SenderFault as it has it.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html#API_SendMessage_Errors
func TestOnlyWhatAMessageSaysIsPermanent(t *testing.T) {
	t.Parallel()
	for code, permanent := range map[string]bool{
		"InvalidMessageContents": true, "InvalidParameterValue": true, "MissingParameter": true,
		"AccessDenied": false, "AccessDeniedException": false, "InvalidSecurity": false, "InvalidClientTokenId": false,
		"KMS.AccessDeniedException": false, "KMS.DisabledException": false, "KMS.InvalidStateException": false,
		"KMS.NotFoundException": false, "KMS.OptInRequired": false, "KMS.ThrottlingException": false, "RequestThrottled": false,
		"AWS.SimpleQueueService.NonExistentQueue": false, "InvalidAddress": false, "OverLimit": false, "Unknown": false,
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, b *fixture) {
				b.client.send = func(in *sqs.SendMessageBatchInput) (*sqs.SendMessageBatchOutput, error) {
					if b.client.called("send") > 1 {
						return nil, nil
					}
					return &sqs.SendMessageBatchOutput{Failed: []types.BatchResultErrorEntry{
						{Id: in.Entries[0].Id, Code: &code, SenderFault: true},
					}}, nil
				}
				out := []fifoqueue.Outgoing{{Group: "a", DeduplicationID: "1", Body: []byte("x")}}
				err := fifoqueue.NewPublisher(b.client, b.url, retry.Backoff{}).Publish(t.Context(), out)
				if permanent {
					require.ErrorIs(t, err, ordered.ErrPermanent)
					return
				}
				require.NoError(t, err, "sent again")
				assert.Equal(t, "1 visible, 0 in flight", b.left(b.url))
			})
		})
	}
}
