package topology

import (
	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/iam/operations"
)

// TrailTableName is the read model of projector-audit.
type TrailTableName struct {
	_     struct{} `group:"Names of AWS resources"`
	Trail string   `envconfig:"TABLE_PROJECTION_AUDIT" default:"projection-audit" names:"table" desc:"DynamoDB table of the audit trail"`
}

// TrailQueueName is the queue of projector-audit.
type TrailQueueName struct {
	_          struct{} `group:"Names of AWS resources"`
	TrailQueue string   `envconfig:"QUEUE_IAM_AUDIT" default:"IamAuditQueue.fifo" names:"queue" desc:"SQS FIFO queue of the audit trail"`
}

// auditTrail is fed by every category: it has a line for each event.
func (n Names) auditTrail() Projection {
	return Projection{
		Consumer: Consumer{
			Name: "audit-trail", Service: "projector-audit", Table: n.Trail, Queue: n.TrailQueue,
			Categories: []string{
				operations.Category,
				user.Category,
				role.Category,
			},
		},
		Collection: "events", ExampleID: "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e60",
	}
}
