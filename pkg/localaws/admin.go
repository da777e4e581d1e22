package localaws

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
)

// ownPath is where localaws answers for itself.
const ownPath = "/_localaws/"

// event is the body of rotate and trim.
type event struct {
	Table  string    `json:"table"`  // with a DynamoDB stream
	Stream string    `json:"stream"` // of Kinesis
	Before time.Time `json:"before"`
}

func (s *Server) ownRoutes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_localaws/calls", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, s.Calls()) })
	mux.HandleFunc("GET /_localaws/faults", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, s.FaultReport()) })
	mux.HandleFunc("DELETE /_localaws/faults", func(w http.ResponseWriter, _ *http.Request) {
		s.faults.Store(nil)
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("PUT /_localaws/faults", deed(func(f *Faults) error { return s.SetFaults(*f) }))
	mux.HandleFunc("POST /_localaws/rotate", deed(func(e *event) error {
		if e.Table == "" || e.Stream != "" || !e.Before.IsZero() {
			return errors.New(`rotate takes a "table", and nothing else; SplitShard and MergeShards do for Kinesis`)
		}
		return s.RotateShards(e.Table)
	}))
	mux.HandleFunc("POST /_localaws/trim", deed(func(e *event) error {
		switch {
		case (e.Table == "") == (e.Stream == ""):
			return errors.New(`trim takes either a "table" or a "stream", and may take a time "before"`)
		case e.Table != "":
			return s.TrimTable(e.Table, e.Before)
		default:
			return s.TrimStream(e.Stream, e.Before)
		}
	}))
	return mux
}

// deed does what a body in JSON asks for, and has nothing to answer but an error.
func deed[In any](do func(*In) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
		d.DisallowUnknownFields()
		in := new(In)
		err := d.Decode(in)
		if errors.Is(err, io.EOF) {
			err = errors.New("the request has no body")
		}
		if err == nil && !errors.Is(d.Decode(new(any)), io.EOF) {
			err = errors.New("the body has more than one JSON value")
		}
		if err == nil {
			err = do(in)
		}
		if err != nil {
			message := err.Error()
			if e, ok := errors.AsType[*awsjson.Error](err); ok {
				message = e.Message
			}
			writeJSON(w, http.StatusBadRequest, map[string]string{"message": message})
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may have gone
}
