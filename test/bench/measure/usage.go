package measure

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"

	"github.com/leftfold/leftfold/pkg/iam/capacity"
	"github.com/leftfold/leftfold/pkg/localaws"
)

// Usage is what callers have used of AWS, by access key and operation.
type Usage []localaws.Usage

// ReadUsage asks an embedded AWS what all calls have used so far.
func ReadUsage(ctx context.Context, client *http.Client, endpoint string) (Usage, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+"/_localaws/usage", http.NoBody)
	if err != nil {
		return nil, err
	}
	answer, err := client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("ask what calls have used: %w", err)
	}
	defer func() { _ = answer.Body.Close() }() // it is read below
	var u Usage
	if err := json.NewDecoder(answer.Body).Decode(&u); err != nil {
		return nil, fmt.Errorf("ask what calls have used: %w", err)
	}
	return u, nil
}

// Since returns what was used after an earlier reading.
func (u Usage) Since(before Usage) (since Usage) {
	for _, now := range u {
		i := slices.IndexFunc(before, func(b localaws.Usage) bool { return b.AccessKey == now.AccessKey && b.Operation == now.Operation })
		if i >= 0 {
			now.Calls -= before[i].Calls
			now.ReadUnits -= before[i].ReadUnits
			now.WriteUnits -= before[i].WriteUnits
			now.RequestBytes -= before[i].RequestBytes
			now.ResponseBytes -= before[i].ResponseBytes
		}
		if now.Calls > 0 {
			since = append(since, now)
		}
	}
	return since
}

// Calls sums the calls of those that match.
func (u Usage) Calls(matches func(localaws.Usage) bool) (sum int64) {
	for _, each := range u {
		if matches(each) {
			sum += each.Calls
		}
	}
	return sum
}

// Price returns what a use costs, in dollars at list price, as docs/costs.md has them: DynamoDB on demand by units, reads of its streams
// and SQS by calls, Kinesis by payload units of 25 KB. What AWS bills by the hour is not in it.
func Price(u localaws.Usage) float64 {
	calls := float64(u.Calls)
	switch {
	case u.Operation == "DynamoDBStreams.GetRecords":
		return calls * capacity.StreamReadPrice
	case strings.HasPrefix(u.Operation, "DynamoDB."):
		return u.ReadUnits*capacity.ReadUnitPrice + u.WriteUnits*capacity.WriteUnitPrice
	case strings.HasPrefix(u.Operation, "AmazonSQS."):
		return calls * capacity.SQSRequestPrice
	default:
		return 0 // Kinesis is billed by records: see PutPrice
	}
}

// PutPrice returns what records cost that are put into Kinesis, each of so many bytes.
func PutPrice(records, bytes float64) float64 {
	const payload = 25e3
	return records * math.Ceil(bytes/payload) * capacity.PutUnitPrice
}

// Plus returns the sum of two.
func (u Usage) Plus(o Usage) Usage {
	sum := slices.Clone(u)
	for _, each := range o {
		i := slices.IndexFunc(sum, func(s localaws.Usage) bool { return s.AccessKey == each.AccessKey && s.Operation == each.Operation })
		if i < 0 {
			sum = append(sum, each)
			continue
		}
		sum[i].Calls += each.Calls
		sum[i].ReadUnits += each.ReadUnits
		sum[i].WriteUnits += each.WriteUnits
		sum[i].RequestBytes += each.RequestBytes
		sum[i].ResponseBytes += each.ResponseBytes
	}
	return sum
}
