package localaws

import (
	"net/http"
	"strings"
	"sync"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb"
	"github.com/leftfold/leftfold/pkg/localaws/internal/journal"
	"github.com/leftfold/leftfold/pkg/localaws/internal/kinesis"
	"github.com/leftfold/leftfold/pkg/localaws/internal/sqs"
)

// region holds the resources of one region, which other regions do not see.
type region struct {
	dynamodb *dynamodb.DB
	kinesis  *kinesis.Kinesis
	sqs      *sqs.Service
	services map[string]*awsjson.Service // by target prefix
}

func newRegion(name string, o Options, j *journal.Journal) *region {
	r := &region{
		dynamodb: dynamodb.New(dynamodb.Options{Region: name, AccountID: o.AccountID, Now: o.Now, Journal: j, HoldReads: o.HoldReads}),
		kinesis: kinesis.New(kinesis.Options{
			Region: name, AccountID: o.AccountID, Now: o.Now, Journal: j, ReadLimits: o.ReadLimits, HoldReads: o.HoldReads,
		}),
		sqs:      sqs.New(sqs.Options{Region: name, AccountID: o.AccountID, Now: o.Now, Journal: j}),
		services: map[string]*awsjson.Service{},
	}
	for _, svc := range []*awsjson.Service{
		r.dynamodb.Service(), r.dynamodb.Streams(), r.kinesis.Service(), r.sqs.Service(), newSTS(o.AccountID),
	} {
		r.services[svc.Target] = svc
	}
	return r
}

func (r *region) close() {
	r.dynamodb.Close()
	r.sqs.Close()
	r.kinesis.Close()
}

// regions are the regions that have been used.
type regions struct {
	mu     sync.RWMutex
	byName map[string]*region
	closed bool
}

// region returns a region, which it creates on first use.
func (s *Server) region(name string) *region {
	s.regions.mu.RLock()
	r := s.regions.byName[name]
	s.regions.mu.RUnlock()
	if r != nil {
		return r
	}
	s.regions.mu.Lock()
	defer s.regions.mu.Unlock()
	if r = s.regions.byName[name]; r != nil {
		return r
	}
	r = newRegion(name, s.options, s.journal)
	keepRegion(s.journal, name)
	if s.regions.closed {
		r.close()
	}
	s.regions.byName[name] = r
	return r
}

func (r *regions) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for _, each := range r.byName {
		each.close()
	}
}

// credential returns the ID of the access key with which a request is signed, version 4, and the region for which; "" if it is not.
// Signatures are not verified.
//
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
func credential(r *http.Request) (accessKey, region string) {
	signature, ok := strings.CutPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ")
	_, scope, found := strings.Cut(signature, "Credential=")
	if !ok || !found {
		return "", ""
	}
	scope, _, _ = strings.Cut(scope, ",")
	key, rest, _ := strings.Cut(scope, "/")
	date, rest, _ := strings.Cut(rest, "/")
	region, _, ok = strings.Cut(rest, "/")
	if !ok || len(date) != len("20060102") || strings.Trim(date, "0123456789") != "" || !isRegion(region) {
		return "", ""
	}
	return key, region
}

// isRegion reports whether a text may be a region's name: 1 to 32 lower-case letters, digits and hyphens.
func isRegion(name string) bool {
	return name != "" && len(name) <= 32 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// regionOf returns the region for which a request is signed, as an endpoint that serves all regions must.
func (s *Server) regionOf(r *http.Request) *region {
	if _, name := credential(r); name != "" {
		return s.region(name)
	}
	return s.region(s.options.Region)
}

// everywhere calls do for every region, and returns when the effect is kept. It fails if do fails for all.
func (s *Server) everywhere(do func(*region) error) error {
	if err := s.forRegions(do); err != nil {
		return err
	}
	return s.journal.Flush()
}

func (s *Server) forRegions(do func(*region) error) error {
	own := s.region(s.options.Region)
	err := do(own)
	s.regions.mu.RLock()
	defer s.regions.mu.RUnlock()
	for _, r := range s.regions.byName {
		if r != own && do(r) == nil {
			err = nil
		}
	}
	return err
}
