package localaws

import (
	"cmp"
	"net/http"
	"slices"
	"sync"

	"github.com/leftfold/leftfold/pkg/localaws/internal/units"
)

// Usage is what the calls of one operation, signed with one access key, have used since the server was made.
type Usage struct {
	// AccessKey is the ID of the key; "" for calls that are not signed. Programs with keys of their own are told apart by it.
	AccessKey string `json:"accessKey"`
	// Operation is a name such as "DynamoDB.PutItem".
	Operation string `json:"operation"`
	// Calls counts refused calls, too.
	Calls int64 `json:"calls"`
	// ReadUnits and WriteUnits are DynamoDB's capacity units, those of indexes included. Refused calls are counted with none; AWS
	// bills the units of a write whose condition fails.
	ReadUnits  float64 `json:"readUnits"`
	WriteUnits float64 `json:"writeUnits"`
	// RequestBytes and ResponseBytes are those of the bodies.
	RequestBytes  int64 `json:"requestBytes"`
	ResponseBytes int64 `json:"responseBytes"`
}

// Usage returns what all calls have used, by access key and operation.
func (s *Server) Usage() []Usage {
	all := s.used.all()
	slices.SortFunc(all, func(a, b Usage) int {
		return cmp.Or(cmp.Compare(a.AccessKey, b.AccessKey), cmp.Compare(a.Operation, b.Operation))
	})
	return all
}

// Calls returns how often each operation was called, by names such as "DynamoDB.PutItem". Refused calls count, too.
func (s *Server) Calls() map[string]int64 {
	out := map[string]int64{}
	for _, u := range s.used.all() {
		out[u.Operation] += u.Calls
	}
	return out
}

// used counts what calls use.
type used struct {
	mu sync.Mutex
	by map[user]*Usage
}

type user struct{ accessKey, operation string }

// begin counts a call. The caller ends it.
func (u *used) begin(accessKey, operation string) *Usage {
	u.mu.Lock()
	defer u.mu.Unlock()
	by := user{accessKey, operation}
	if u.by[by] == nil {
		if u.by == nil {
			u.by = map[user]*Usage{}
		}
		u.by[by] = &Usage{AccessKey: accessKey, Operation: operation}
	}
	u.by[by].Calls++
	return u.by[by]
}

func (u *used) end(of *Usage, spent *units.Spent, request, response int) {
	read, write := spent.Sum()
	u.mu.Lock()
	defer u.mu.Unlock()
	of.ReadUnits += read
	of.WriteUnits += write
	of.RequestBytes += int64(request)
	of.ResponseBytes += int64(response)
}

func (u *used) all() []Usage {
	u.mu.Lock()
	defer u.mu.Unlock()
	out := make([]Usage, 0, len(u.by))
	for _, each := range u.by {
		out = append(out, *each)
	}
	return out
}

// counted counts the bytes of a response.
type counted struct {
	http.ResponseWriter

	bytes int
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.bytes += n
	return n, err
}

// Unwrap lets http.ResponseController flush.
func (c *counted) Unwrap() http.ResponseWriter { return c.ResponseWriter }
