package topology

import (
	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
)

// UserTableName is the read model of projector-user.
type UserTableName struct {
	_     struct{} `group:"Names of AWS resources"`
	Users string   `envconfig:"TABLE_PROJECTION_USER" default:"projection-user" names:"table" desc:"DynamoDB table of the users read model"`
}

// UserQueueName is the queue of projector-user.
type UserQueueName struct {
	_         struct{} `group:"Names of AWS resources"`
	UserQueue string   `envconfig:"QUEUE_IAM_USER" default:"IamUserQueue.fifo" names:"queue" desc:"SQS FIFO queue of the users projection"`
}

// users is fed by both categories: its rows show its roles.
func (n Names) users() Projection {
	return Projection{
		Consumer: Consumer{
			Name: "users", Service: "projector-user", Table: n.Users, Queue: n.UserQueue,
			Categories: []string{user.Category, role.Category},
		},
		Collection: "users", ExampleID: "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57",
	}
}
