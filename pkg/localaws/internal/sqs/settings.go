package sqs

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
)

// maxMessage is the largest message and the largest batch:
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
const maxMessage = 1 << 20

// settings are a queue's attributes, as text and parsed; immutable.
type settings struct {
	attributes     map[string]string
	visibility     time.Duration
	retention      time.Duration
	delay          time.Duration
	wait           time.Duration
	maxSize        int
	contentDedup   bool
	dedupByGroup   bool
	redrive        redrivePolicy
	redriveAllowed redriveAllowPolicy
}

// defaultAttributes returns the defaults of CreateQueue:
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html
func defaultAttributes(fifo bool) map[string]string {
	a := map[string]string{
		"DelaySeconds": "0", "MaximumMessageSize": strconv.Itoa(maxMessage), "MessageRetentionPeriod": "345600",
		"ReceiveMessageWaitTimeSeconds": "0", "VisibilityTimeout": "30", "SqsManagedSseEnabled": "true",
	}
	if fifo {
		a["FifoQueue"], a["ContentBasedDeduplication"] = "true", "false"
		a["DeduplicationScope"], a["FifoThroughputLimit"] = "queue", "perQueue"
	}
	return a
}

// change returns a queue's attributes with some of them changed, checked and in canonical form.
func change(old, changes map[string]string, fifo bool) (*settings, error) {
	merged, checked := maps.Clone(old), map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(changes)) {
		value, err := canonical(name, changes[name], fifo)
		if err != nil {
			return nil, err
		}
		checked[name] = value
		if value == "" {
			delete(merged, name)
		} else {
			merged[name] = value
		}
	}
	if err := oneEncryption(merged, checked); err != nil {
		return nil, err
	}
	if merged["FifoThroughputLimit"] == "perMessageGroupId" && merged["DeduplicationScope"] != "messageGroup" {
		return nil, invalidAttribute("FifoThroughputLimit")
	}
	return parseSettings(merged)
}

// canonical checks an attribute's value and returns its canonical form; an empty one removes the attribute.
func canonical(name, value string, fifo bool) (string, error) {
	if low, high, ok := bounds(name); ok {
		n, err := strconv.Atoi(value)
		if err != nil || n < low || n > high {
			return "", invalidAttribute(name)
		}
		return strconv.Itoa(n), nil
	}
	switch name {
	case "FifoQueue", "ContentBasedDeduplication", "SqsManagedSseEnabled":
		value = strings.ToLower(value) // https://github.com/getmoto/moto/pull/4830: Python and the CDK write "True"
	}
	switch name {
	case "FifoQueue":
		if !fifo || value != "true" { // a standard queue must not even say "false"
			return "", unknownAttribute(name)
		}
		return value, nil
	case "ContentBasedDeduplication":
		return oneOf(name, value, fifo, "true", "false")
	case "DeduplicationScope":
		return oneOf(name, value, fifo, "queue", "messageGroup")
	case "FifoThroughputLimit":
		return oneOf(name, value, fifo, "perQueue", "perMessageGroupId")
	case "SqsManagedSseEnabled":
		return oneOf(name, value, true, "true", "false")
	case "RedrivePolicy":
		return canonicalRedrive(value)
	case "RedriveAllowPolicy":
		return canonicalRedriveAllow(value)
	case "KmsMasterKeyId":
		return value, nil
	case "Policy":
		if value != "" && !json.Valid([]byte(value)) {
			return "", invalidAttribute(name)
		}
		return value, nil
	default:
		return "", unknownAttribute(name)
	}
}

func bounds(name string) (low, high int, ok bool) {
	switch name {
	case "DelaySeconds":
		return 0, 900, true
	case "MaximumMessageSize":
		return 1024, maxMessage, true
	case "MessageRetentionPeriod":
		return 60, 1_209_600, true
	case "ReceiveMessageWaitTimeSeconds":
		return 0, 20, true
	case "VisibilityTimeout":
		return 0, 43_200, true
	case "KmsDataKeyReusePeriodSeconds":
		return 60, 86_400, true
	default:
		return 0, 0, false
	}
}

func oneOf(name, value string, applies bool, allowed ...string) (string, error) {
	if !applies {
		return "", failure("InvalidAttributeName", "InvalidAttributeName",
			"You can specify the %s only when FifoQueue is set to true.", name)
	}
	if !slices.Contains(allowed, value) {
		return "", invalidAttribute(name)
	}
	return value, nil
}

// oneEncryption removes the other kind of encryption when one is set.
func oneEncryption(merged, changes map[string]string) error {
	switch {
	case changes["KmsMasterKeyId"] != "" && changes["SqsManagedSseEnabled"] == "true":
		return failure("InvalidAttributeName", "InvalidAttributeName", "You can use one type of server-side encryption (SSE) "+
			"at one time. You can either enable KMS SSE or SQS SSE.")
	case changes["KmsMasterKeyId"] != "":
		merged["SqsManagedSseEnabled"] = "false"
	case changes["SqsManagedSseEnabled"] == "true":
		delete(merged, "KmsMasterKeyId")
		delete(merged, "KmsDataKeyReusePeriodSeconds")
	}
	return nil
}

// parseSettings parses canonical attributes.
func parseSettings(a map[string]string) (*settings, error) {
	s := &settings{
		attributes: a, contentDedup: a["ContentBasedDeduplication"] == "true", dedupByGroup: a["DeduplicationScope"] == "messageGroup",
	}
	for name, to := range map[string]*time.Duration{
		"VisibilityTimeout": &s.visibility, "MessageRetentionPeriod": &s.retention,
		"DelaySeconds": &s.delay, "ReceiveMessageWaitTimeSeconds": &s.wait,
	} {
		n, err := strconv.Atoi(a[name])
		if err != nil {
			return nil, invalidAttribute(name)
		}
		*to = time.Duration(n) * time.Second
	}
	n, err := strconv.Atoi(a["MaximumMessageSize"])
	if err != nil {
		return nil, invalidAttribute("MaximumMessageSize")
	}
	s.maxSize = n
	if text := a["RedrivePolicy"]; text != "" {
		if err := json.Unmarshal([]byte(text), &s.redrive); err != nil {
			return nil, invalidAttribute("RedrivePolicy")
		}
	}
	if text := a["RedriveAllowPolicy"]; text != "" {
		if err := json.Unmarshal([]byte(text), &s.redriveAllowed); err != nil {
			return nil, invalidAttribute("RedriveAllowPolicy")
		}
	}
	return s, nil
}

// redrivePolicy is where messages go that were received too often; without a policy the target is empty.
type redrivePolicy struct {
	Target          string `json:"deadLetterTargetArn"`
	MaxReceiveCount int    `json:"maxReceiveCount"`
}

func badRedrive(value, reason string) *awsjson.Error {
	return invalidValue(value, "RedrivePolicy", reason)
}

func canonicalRedrive(value string) (string, error) {
	if value == "" {
		return "", nil
	}
	var given struct {
		Target string           `json:"deadLetterTargetArn"`
		Max    *json.RawMessage `json:"maxReceiveCount"` // AWS takes 5 and "5"
	}
	if err := json.Unmarshal([]byte(value), &given); err != nil {
		return "", badRedrive(value, "Redrive policy is not a valid JSON map.")
	}
	if given.Target == "" {
		return "", badRedrive(value, "Redrive policy does not contain mandatory attribute: deadLetterTargetArn.")
	}
	if given.Max == nil {
		return "", badRedrive(value, "Redrive policy does not contain mandatory attribute: maxReceiveCount.")
	}
	digits := string(*given.Max)
	if unquoted, err := strconv.Unquote(digits); err == nil {
		digits = unquoted
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n < 1 || n > 1000 {
		return "", badRedrive(value, "Invalid value for maxReceiveCount: "+digits+", valid values are from 1 to 1000 both inclusive.")
	}
	b, err := json.Marshal(redrivePolicy{given.Target, n})
	return string(b), err
}

// redriveAllowPolicy is from which queues a queue takes dead letters; without a policy from all.
type redriveAllowPolicy struct {
	Permission string   `json:"redrivePermission"`
	Sources    []string `json:"sourceQueueArns,omitempty"`
}

func canonicalRedriveAllow(value string) (string, error) {
	if value == "" {
		return "", nil
	}
	var p redriveAllowPolicy
	if err := json.Unmarshal([]byte(value), &p); err != nil {
		return "", invalidValue(value, "RedriveAllowPolicy",
			"Amazon SQS can't create the redrive allow policy, as it's in an unsupported format.")
	}
	byQueue := p.Permission == "byQueue"
	if !byQueue && p.Permission != "allowAll" && p.Permission != "denyAll" || byQueue != (len(p.Sources) > 0) || len(p.Sources) > 10 {
		return "", invalidValue(value, "RedriveAllowPolicy", "sourceQueueArns must be 1 to 10 with redrivePermission byQueue, and absent "+
			"with allowAll and denyAll.")
	}
	b, err := json.Marshal(p)
	return string(b), err
}

func (p redriveAllowPolicy) allows(sourceARN string) bool {
	switch p.Permission {
	case "denyAll":
		return false
	case "byQueue":
		return slices.Contains(p.Sources, sourceARN)
	default:
		return true
	}
}
