package awsconfig

import (
	"fmt"
	"regexp"
)

type nameRule struct {
	pattern *regexp.Regexp
	want    string
}

func ruleOf(pattern, want string) nameRule {
	return nameRule{regexp.MustCompile(`^` + pattern + `$`), want}
}

// nameRules are what AWS accepts as names, by what is named.
var nameRules = map[string]nameRule{ // read only
	// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
	"table": ruleOf(`[a-zA-Z0-9_.-]{3,255}`, "3 to 255 of a-z, A-Z, 0-9, _ . and -"),
	// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_CreateStream.html
	"stream": ruleOf(`[a-zA-Z0-9_.-]{1,128}`, "1 to 128 of a-z, A-Z, 0-9, _ . and -"),
	// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_RegisterStreamConsumer.html
	"stream consumer": ruleOf(`[a-zA-Z0-9_.-]{1,128}`, "1 to 128 of a-z, A-Z, 0-9, _ . and -"),
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html: 80 with the suffix, of which 4 are left
	// to the name of the dead-letter queue.
	"queue": ruleOf(`[a-zA-Z0-9_-]{1,71}\.fifo`, "1 to 71 of a-z, A-Z, 0-9, _ and -, and then .fifo"),
}

// CheckName returns an error that says what is wanted unless AWS accepts the name of a table, stream, stream consumer or (FIFO) queue.
func CheckName(of, name string) error {
	rule, known := nameRules[of]
	if !known {
		return fmt.Errorf("no rule for the name of a %s", of)
	}
	if !rule.pattern.MatchString(name) {
		return fmt.Errorf("no name of a %s, which has %s", of, rule.want)
	}
	return nil
}
