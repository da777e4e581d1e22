package localaws

import (
	"context"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
	"github.com/leftfold/leftfold/pkg/localaws/internal/awsquery"
)

type callerIdentity struct {
	ARN     string `json:"Arn"`
	UserID  string `json:"UserId"`
	Account string
}

// newSTS returns the one operation of STS that SDKs, Terraform and health checks call to see whether they have credentials.
// Everyone is the account's root user.
//
// Source: https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
func newSTS(account string) *awsjson.Service {
	identify := func(context.Context, *struct{}) (*callerIdentity, error) {
		return &callerIdentity{ARN: "arn:aws:iam::" + account + ":root", UserID: account, Account: account}, nil
	}
	return &awsjson.Service{
		Target:     "STS_20110615", // it has no JSON protocol
		Operations: map[string]awsjson.Operation{"GetCallerIdentity": awsjson.Handle(identify)},
	}
}

var stsShapes = awsquery.Shapes{Namespace: "https://sts.amazonaws.com/doc/2011-06-15/"}
