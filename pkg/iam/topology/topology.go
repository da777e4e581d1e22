// Package topology declares what exists between the services: the names of tables, stream and queues, and which
// projection subscribes to which categories. The broker and the projectors read the same declaration.
package topology

import (
	"strings"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
)

// Names are the AWS resources; each can be renamed by its variable. They come in small structs, so that each service reads
// the variables that it uses and no others.
type Names struct {
	EventLogName
	CommandNames
	HopNames
	UserTableName
	RoleTableName
	QueueNames
}

// EventLogName is the log, which every service reads.
type EventLogName struct {
	_        struct{} `group:"Names of AWS resources"`
	EventLog string   `envconfig:"TABLE_EVENT_LOG" default:"EventLog" desc:"DynamoDB table of all events"`
}

// CommandNames are what command-api writes besides the log.
type CommandNames struct {
	_              struct{} `group:"Names of AWS resources"`
	SetValidations string   `envconfig:"TABLE_SET_VALIDATIONS" default:"set-validations" desc:"DynamoDB table of unique values and their owners"`
	Commands       string   `envconfig:"TABLE_COMMANDS" default:"commands" desc:"DynamoDB table of command results"`
	Snapshots      string   `envconfig:"TABLE_SNAPSHOTS" default:"snapshots" desc:"DynamoDB table of states of long streams; may be emptied at any time"`
}

// HopNames are what the streamer and the broker share.
type HopNames struct {
	SetAside string   `envconfig:"TABLE_SET_ASIDE" default:"set-aside" desc:"DynamoDB table of records that can never be moved on"`
	_        struct{} `group:"Names of AWS resources"`
	Leases   string   `envconfig:"TABLE_LEASES" default:"leases" desc:"DynamoDB table of shard leases and checkpoints"`
	Stream   string   `envconfig:"STREAM_EVENTS" default:"event-source" desc:"Kinesis stream of all events"`
}

// UserTableName is the read model of projector-user.
type UserTableName struct {
	_     struct{} `group:"Names of AWS resources"`
	Users string   `envconfig:"TABLE_PROJECTION_USER" default:"projection-user" desc:"DynamoDB table of the users read model"`
}

// RoleTableName is the read model of projector-role.
type RoleTableName struct {
	_     struct{} `group:"Names of AWS resources"`
	Roles string   `envconfig:"TABLE_PROJECTION_ROLES" default:"projection-roles" desc:"DynamoDB table of the roles read model"`
}

// QueueNames are all queues.
type QueueNames struct {
	UserQueueName
	RoleQueueName
}

// UserQueueName is the queue of projector-user.
type UserQueueName struct {
	_         struct{} `group:"Names of AWS resources"`
	UserQueue string   `envconfig:"QUEUE_IAM_USER" default:"IamUserQueue.fifo" desc:"SQS FIFO queue of the users projection"`
}

// RoleQueueName is the queue of projector-role.
type RoleQueueName struct {
	_         struct{} `group:"Names of AWS resources"`
	RoleQueue string   `envconfig:"QUEUE_IAM_ROLE" default:"IamRoleQueue.fifo" desc:"SQS FIFO queue of the roles projection"`
}

// Subscription feeds one queue with whole categories: the fence needs to see every version of a stream.
type Subscription struct {
	Queue      string
	Categories []string
}

// Subscriptions says which queue carries what. Each projection is fed by its own aggregate and, because its rows show
// names of the other, by that one too.
func (n QueueNames) Subscriptions() []Subscription {
	return []Subscription{
		{Queue: n.UserQueue, Categories: []string{user.Category, role.Category}},
		{Queue: n.RoleQueue, Categories: []string{role.Category, user.Category}},
	}
}

// DeadLetters names the queue that takes what a queue's consumer cannot decode: "IamUserQueue-dlq.fifo".
func DeadLetters(queue string) string { return strings.TrimSuffix(queue, ".fifo") + "-dlq.fifo" }
