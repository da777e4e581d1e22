// Package topology declares what exists between the services: the names of tables, stream and queues, and which
// projection hears of which categories. The broker and the projectors read the same declaration.
package topology

import (
	"strings"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
)

// Names are the AWS resources; each can be renamed by its variable.
type Names struct {
	EventLog       string `env:"TABLE_EVENT_LOG,default=EventLog" desc:"DynamoDB table of all events"`
	SetValidations string `env:"TABLE_SET_VALIDATIONS,default=set-validations" desc:"DynamoDB table of unique values and their owners"`
	Commands       string `env:"TABLE_COMMANDS,default=commands" desc:"DynamoDB table of command results"`
	Snapshots      string `env:"TABLE_SNAPSHOTS,default=snapshots" desc:"DynamoDB table of states of long streams; may be emptied at any time"`
	Leases         string `env:"TABLE_LEASES,default=leases" desc:"DynamoDB table of shard leases and checkpoints"`
	Users          string `env:"TABLE_PROJECTION_USER,default=projection-user" desc:"DynamoDB table of the users read model"`
	Roles          string `env:"TABLE_PROJECTION_ROLES,default=projection-roles" desc:"DynamoDB table of the roles read model"`
	Stream         string `env:"STREAM_EVENTS,default=event-source" desc:"Kinesis stream of all events"`
	UserQueue      string `env:"QUEUE_IAM_USER,default=IamUserQueue.fifo" desc:"SQS FIFO queue of the users projection"`
	RoleQueue      string `env:"QUEUE_IAM_ROLE,default=IamRoleQueue.fifo" desc:"SQS FIFO queue of the roles projection"`
}

// Subscription feeds one queue with whole categories: the fence needs to see every version of a stream.
type Subscription struct {
	Queue      string
	Categories []string
}

// Subscriptions says which queue carries what. Each projection is fed by its own aggregate and, because its rows show
// names of the other, by that one too.
func (n Names) Subscriptions() []Subscription {
	return []Subscription{
		{Queue: n.UserQueue, Categories: []string{user.Category, role.Category}},
		{Queue: n.RoleQueue, Categories: []string{role.Category, user.Category}},
	}
}

// DeadLetters names the queue that takes what a queue's consumer cannot decode: "IamUserQueue-dlq.fifo".
func DeadLetters(queue string) string { return strings.TrimSuffix(queue, ".fifo") + "-dlq.fifo" }
