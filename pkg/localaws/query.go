package localaws

import (
	"encoding/xml"
	"mime"
	"net/http"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
)

// isForm reports whether a request is one of the query protocol: a form with the member Action.
//
// Source: https://smithy.io/2.0/aws/protocols/aws-query-protocol.html
func isForm(r *http.Request) bool {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && kind == "application/x-www-form-urlencoded"
}

type callerIdentity struct {
	XMLName xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ GetCallerIdentityResponse"`
	ARN     string   `xml:"GetCallerIdentityResult>Arn"`
	UserID  string   `xml:"GetCallerIdentityResult>UserId"`
	Account string   `xml:"GetCallerIdentityResult>Account"`
	Request string   `xml:"ResponseMetadata>RequestId"`
}

type queryError struct {
	XMLName xml.Name `xml:"ErrorResponse"`
	Type    string   `xml:"Error>Type"`
	Code    string   `xml:"Error>Code"`
	Message string   `xml:"Error>Message"`
	Request string   `xml:"RequestId"`
}

// query serves the query protocol, which is STS GetCallerIdentity only: SDKs, Terraform and health checks call it to see whether
// they have credentials. Everyone is the account's root user.
//
// Source: https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
func (s *Server) query(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if err := r.ParseForm(); err != nil {
		http.Error(w, "cannot read the request", http.StatusBadRequest)
		return
	}
	id := w.Header().Get("X-Amzn-Requestid")
	if action := r.PostForm.Get("Action"); action != "GetCallerIdentity" {
		e := awsjson.NotSupported("the query protocol's action " + action)
		writeXML(w, e.Status, queryError{Type: "Sender", Code: e.Code, Message: e.Message, Request: id})
		return
	}
	s.count("STS.GetCallerIdentity")
	account := s.options.AccountID
	writeXML(w, http.StatusOK, callerIdentity{ARN: "arn:aws:iam::" + account + ":root", UserID: account, Account: account, Request: id})
}

func writeXML(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	_ = xml.NewEncoder(w).Encode(v) // the client may have disconnected
}
