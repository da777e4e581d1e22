package localaws

import (
	"bytes"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
	"github.com/leftfold/leftfold/pkg/localaws/internal/awsquery"
	"github.com/leftfold/leftfold/pkg/localaws/internal/sqs"
)

// sizeAtOnce bounds what is allocated for a request before any of it has come.
const sizeAtOnce = 1 << 20

// readBody returns the body of a request. If that fails, it answers.
func readBody(w http.ResponseWriter, r *http.Request) (body []byte, ok bool) {
	var read bytes.Buffer
	read.Grow(int(min(max(r.ContentLength, 0), sizeAtOnce)) + bytes.MinRead)
	_, err := read.ReadFrom(http.MaxBytesReader(w, r.Body, maxBody))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		http.Error(w, "request body too large", http.StatusRequestEntityTooLarge)
	} else if err != nil {
		http.Error(w, "cannot read the request", http.StatusBadRequest)
	}
	return read.Bytes(), err == nil
}

// request finds out for which operation a request is, and in which protocol. Its error is what is not supported.
func (s *Server) request(r *http.Request, body []byte, id string) (awsjson.Request, error) {
	services := s.regionOf(r).services
	target, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	svc := services[target]
	switch {
	case target == "" && isQuery(r):
		return query(services, r, body, id)
	case svc != nil && r.Method == http.MethodPost && svc.CBOR && r.Header.Get("Content-Type") == awsjson.CBOR{}.ContentType():
		return awsjson.Request{Service: svc, Protocol: awsjson.CBOR{}, Operation: operation, Body: body}, nil
	case svc != nil && r.Method == http.MethodPost:
		return awsjson.Request{Service: svc, Protocol: svc.ContentType, Operation: operation, Body: body}, nil
	}
	unknown := awsjson.Request{Service: &awsjson.Service{}, Protocol: awsjson.JSON("application/x-amz-json-1.0")}
	if svc == nil && target != "" {
		return unknown, awsjson.NotSupported("service " + target)
	}
	return unknown, awsjson.NotSupported(r.Method + " " + r.URL.Path)
}

// isQuery reports whether a request is of the query protocol: a form in the body or in the URL.
func isQuery(r *http.Request) bool {
	if r.URL.Query().Has("Action") {
		return r.Method == http.MethodGet || r.Method == http.MethodPost
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && kind == "application/x-www-form-urlencoded" && r.Method == http.MethodPost
}

// query finds the service by the action, since no two of them have one in common. An action of SQS may be sent to the queue's
// URL instead of having it as a parameter.
func query(services map[string]*awsjson.Service, r *http.Request, body []byte, id string) (awsjson.Request, error) {
	form := r.URL.RawQuery + "&" + string(body)
	values, _ := url.ParseQuery(form) // an error is reported by the protocol
	action := values.Get("Action")
	request := awsjson.Request{Service: &awsjson.Service{}, Operation: action}
	protocol := awsquery.Protocol{Shapes: sqs.QueryShapes(action), Action: action, RequestID: id}
	var err error
	switch queues, identities := services["AmazonSQS"], services["STS_20110615"]; {
	case queues.Operations[action] != nil:
		request.Service = queues
		if r.URL.Path != "/" && !values.Has("QueueUrl") {
			form += "&QueueUrl=" + url.QueryEscape(r.URL.Path)
		}
	case identities.Operations[action] != nil:
		request.Service, protocol.Shapes = identities, stsShapes
	default:
		err = awsjson.NotSupported("the query protocol's action " + action)
	}
	request.Protocol, request.Body = protocol, []byte(form)
	return request, err
}
