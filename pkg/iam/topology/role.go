package topology

import (
	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
)

// RoleTableName is the read model of projector-role.
type RoleTableName struct {
	_     struct{} `group:"Names of AWS resources"`
	Roles string   `envconfig:"TABLE_PROJECTION_ROLES" default:"projection-roles" names:"table" desc:"DynamoDB table of the roles read model"`
}

// RoleQueueName is the queue of projector-role.
type RoleQueueName struct {
	_         struct{} `group:"Names of AWS resources"`
	RoleQueue string   `envconfig:"QUEUE_IAM_ROLE" default:"IamRoleQueue.fifo" names:"queue" desc:"SQS FIFO queue of the roles projection"`
}

// roles is fed by both categories: its rows show its members.
func (n Names) roles() Projection {
	return Projection{
		Consumer: Consumer{
			Name: "roles", Service: "projector-role", Table: n.Roles, Queue: n.RoleQueue,
			Categories: []string{role.Category, user.Category},
		},
		Collection: "roles", ExampleID: "01920b7d-0a11-7d52-8c3f-6b1d2e4f5a90",
	}
}
