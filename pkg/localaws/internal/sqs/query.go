package sqs

import "github.com/leftfold/leftfold/pkg/localaws/internal/awsquery"

// QueryShapes returns the names of an action's members in the query protocol.
//
// Source: https://github.com/boto/botocore/blob/1.29.126/botocore/data/sqs/2012-11-05/service-2.json, of before the JSON protocol.
func QueryShapes(action string) awsquery.Shapes {
	return awsquery.Shapes{
		Namespace: "http://queue.amazonaws.com/doc/2012-11-05/",
		Lists: map[string]string{
			"AttributeName": "AttributeNames", "MessageAttributeName": "MessageAttributeNames",
			"MessageSystemAttributeName": "MessageSystemAttributeNames", "TagKey": "TagKeys", action + "RequestEntry": "Entries",
		},
		Elements: map[string]string{
			"Messages": "Message", "QueueUrls": "QueueUrl", "queueUrls": "QueueUrl",
			"Successful": action + "ResultEntry", "Failed": "BatchResultErrorEntry",
		},
		Maps: map[string]awsquery.Map{
			"Attribute": {Name: "Attributes", Key: "Name", Value: "Value"}, "Tag": {Name: "Tags", Key: "Key", Value: "Value"},
			"MessageAttribute":       {Name: "MessageAttributes", Key: "Name", Value: "Value"},
			"MessageSystemAttribute": {Name: "MessageSystemAttributes", Key: "Name", Value: "Value"},
		},
		Integers: []string{"DelaySeconds", "MaxNumberOfMessages", "MaxResults", "VisibilityTimeout", "WaitTimeSeconds"},
	}
}
