package app

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/leftfold/leftfold/pkg/localaws"
)

// A subscription lasts for 5 minutes (https://docs.aws.amazon.com/kinesis/latest/APIReference/API_SubscribeToShard.html), and work for
// a request ends after five sixths of the write timeout.
func TestTheAddressOfTheEmbeddedAWSHasTimeForASubscription(t *testing.T) {
	t.Parallel()
	assert.Greater(t, endpoint(AWSConfig{}, localaws.New(localaws.Options{})).HTTP.WriteTimeout*5/6, 5*time.Minute)
}
