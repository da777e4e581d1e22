package app

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// A subscription lasts for 5 minutes (https://docs.aws.amazon.com/kinesis/latest/APIReference/API_SubscribeToShard.html), and work for
// a request ends after five sixths of the write timeout.
func TestTheAddressOfTheEmbeddedAWSHasTimeForASubscription(t *testing.T) {
	t.Parallel()
	assert.Greater(t, (&embedded{}).endpoint(AWSConfig{}).HTTP.WriteTimeout*5/6, 5*time.Minute)
}
