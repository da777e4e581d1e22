package topology

import (
	"strings"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
)

// ProcessNames are the tables of the processes. What they did and wait for is in the log.
type ProcessNames struct {
	_      struct{} `group:"Names of AWS resources"`
	Heard  string   `envconfig:"TABLE_PROCESS_FENCES" default:"process-fences" names:"table" desc:"DynamoDB table of how far the processes have heard each stream"`
	Timers string   `envconfig:"TABLE_TIMERS" default:"timers" names:"table" desc:"DynamoDB table of what the processes wait for"`
}

// ProcessQueueName is the queue of the processor.
type ProcessQueueName struct {
	_            struct{} `group:"Names of AWS resources"`
	ProcessQueue string   `envconfig:"QUEUE_IAM_PROCESS" default:"IamProcessQueue.fifo" names:"queue" desc:"SQS FIFO queue of the processes"`
}

// Processor is the service that runs the processes.
const Processor = "processor"

// Processes are fed by both categories: grants hears users, and retirement hears roles.
func (n Names) Processes() Consumer {
	return Consumer{
		Name: "processes", Service: Processor, Table: n.Heard, Queue: n.ProcessQueue, Categories: []string{user.Category, role.Category},
	}
}

// RetirementPath is what the processor answers of the API's reads; * is any one segment.
const RetirementPath = "/roles/*/retirement"

var retirementPath = strings.Split(strings.TrimPrefix(RetirementPath, "/"), "/") //nolint:gochecknoglobals // read only
