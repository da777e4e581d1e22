// Package topology declares what exists between the services: the names of tables, stream and queues, and each consumer of the log with
// the categories that feed it. Each has a file; Projections lists the read models, and Consumers these and the processes.
package topology

import (
	"net/http"
	"slices"
	"strings"
)

// Names are the AWS resources; each can be renamed by its variable. They come in small structs, so that each service reads
// the variables that it uses and no others.
type Names struct {
	EventLogName
	CommandNames
	HopNames
	TableNames
	ProcessNames
	QueueNames
}

// EventLogName is the log, which every service reads.
type EventLogName struct {
	_        struct{} `group:"Names of AWS resources"`
	EventLog string   `envconfig:"TABLE_EVENT_LOG" default:"EventLog" names:"table" desc:"DynamoDB table of all events"`
}

// CommandNames are what command-api writes besides the log.
type CommandNames struct {
	ClaimsName
	_        struct{} `group:"Names of AWS resources"`
	Scopes   string   `envconfig:"TABLE_SCOPES" default:"scopes" names:"table" desc:"DynamoDB table of what streams count together, such as the members of a role"`
	Commands string   `envconfig:"TABLE_COMMANDS" default:"commands" names:"table" desc:"DynamoDB table of command results"`
	SnapshotsName
}

// SnapshotsName is the table of states of long streams: users, roles and processes.
type SnapshotsName struct {
	_         struct{} `group:"Names of AWS resources"`
	Snapshots string   `envconfig:"TABLE_SNAPSHOTS" default:"snapshots" names:"table" desc:"DynamoDB table of states of long streams; may be emptied at any time"`
}

// ClaimsName is the table of claims, which command-api writes; projector-user looks e-mail addresses up in it.
type ClaimsName struct {
	_              struct{} `group:"Names of AWS resources"`
	SetValidations string   `envconfig:"TABLE_SET_VALIDATIONS" default:"set-validations" names:"table" desc:"DynamoDB table of unique values and their owners"`
}

// HopNames are what the streamer and the broker share.
type HopNames struct {
	SetAside string   `envconfig:"TABLE_SET_ASIDE" default:"set-aside" names:"table" desc:"DynamoDB table of records that can never be moved on"`
	_        struct{} `group:"Names of AWS resources"`
	LeasesName
	Stream string `envconfig:"STREAM_EVENTS" default:"event-source" names:"stream" desc:"Kinesis stream of all events"`
}

// LeasesName is the table by which replicas share work.
type LeasesName struct {
	_      struct{} `group:"Names of AWS resources"`
	Leases string   `envconfig:"TABLE_LEASES" default:"leases" names:"table" desc:"DynamoDB table of shard leases and checkpoints"`
}

// GenerationsName says which tables of the read models are read and fed.
type GenerationsName struct {
	_           struct{} `group:"Names of AWS resources"`
	Generations string   `envconfig:"TABLE_GENERATIONS" default:"projection-generations" names:"table" desc:"DynamoDB table of the read models' generations"`
}

// TableNames are the tables of all read models.
type TableNames struct {
	GenerationsName
	UserTableName
	RoleTableName
	TrailTableName
}

// QueueNames are the queues of all read models, and that of the processes.
type QueueNames struct {
	UserQueueName
	RoleQueueName
	TrailQueueName
	ProcessQueueName
}

// Projections are all read models, in the order in which they were added. What exists for each of them, in this program and in its
// deployments, follows from this list.
func (n Names) Projections() []Projection {
	return []Projection{
		n.users(),
		n.roles(),
		n.auditTrail(),
	}
}

// Consumers are all that queues feed: the read models and the processes.
func (n Names) Consumers() []Consumer {
	var all []Consumer
	for _, p := range n.Projections() {
		all = append(all, p.Consumer)
	}
	return append(all, n.Processes())
}

// Consumer is fed by a queue.
type Consumer struct {
	// Name is what the operators call it, such as "roles".
	Name string
	// Service receives from the queue.
	Service string
	// Table has a fence for each stream: the version that was applied.
	Table string
	// Queue feeds it.
	Queue string
	// Categories are what the queue carries. Each is carried whole: the fence needs to see every version of a stream.
	Categories []string
}

// Projection is a read model. Its Table has its rows, too, and its Service serves its reads.
type Projection struct {
	Consumer

	// Collection is the first segment of the paths that read it, such as "roles": GET /roles.
	Collection string
	// ExampleID is the id that the API's documentation shows.
	ExampleID string
}

// Subscription feeds one queue with whole categories.
type Subscription struct {
	Queue      string
	Categories []string
}

// Subscriptions says which queue carries what.
func (n QueueNames) Subscriptions() []Subscription {
	var all []Subscription
	for _, c := range (Names{QueueNames: n}).Consumers() {
		all = append(all, Subscription{Queue: c.Queue, Categories: c.Categories})
	}
	return all
}

// CommandAPI is the service that takes the commands.
const CommandAPI = "command-api"

// Console is the service that has the pages for operators, below the path of its name.
const Console = "console"

// APIs are the services that have a part of the REST API.
func (n Names) APIs() []string {
	services := []string{CommandAPI, Processor}
	for _, p := range n.Projections() {
		services = append(services, p.Service)
	}
	return services
}

// ServiceFor returns the service that answers a request to the API's one address: pages are the console's, what processes did is the
// processor's to say, a projection's reads are its service's, and all others command-api's.
func ServiceFor(method, path string) string {
	if path == "/"+Console || strings.HasPrefix(path, "/"+Console+"/") {
		return Console
	}
	if method == http.MethodGet || method == http.MethodHead {
		segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
		if len(segments) == 3 && slices.Equal(retirementPath, []string{segments[0], "*", segments[2]}) {
			return Processor
		}
		for _, p := range (Names{}).Projections() {
			if p.Collection == segments[0] {
				return p.Service
			}
		}
	}
	return CommandAPI
}

// DeadLetters names the queue that takes what a queue's consumer cannot decode: "IamUserQueue-dlq.fifo".
func DeadLetters(queue string) string { return strings.TrimSuffix(queue, ".fifo") + "-dlq.fifo" }
