package localaws

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
)

// adminPath is the prefix of the server's own routes.
const adminPath = "/_localaws/"

// streamRequest is the body of rotate and trim; Table or Stream is set.
type streamRequest struct {
	Table  string    `json:"table"`  // of DynamoDB
	Stream string    `json:"stream"` // of Kinesis
	Before time.Time `json:"before"`
}

func (s *Server) adminRoutes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_localaws/calls", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, s.Calls()) })
	mux.HandleFunc("GET /_localaws/usage", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, s.Usage()) })
	mux.HandleFunc("GET /_localaws/faults", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, s.FaultReport()) })
	mux.HandleFunc("DELETE /_localaws/faults", func(w http.ResponseWriter, _ *http.Request) {
		s.faults.Store(nil)
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("PUT /_localaws/faults", handleJSON(func(f *Faults) error { return s.SetFaults(*f) }))
	mux.HandleFunc("POST /_localaws/rotate", handleJSON(func(r *streamRequest) error {
		if r.Table == "" || r.Stream != "" || !r.Before.IsZero() {
			return errors.New(`rotate takes a "table" and nothing else; for Kinesis, call SplitShard or MergeShards`)
		}
		return s.RotateShards(r.Table)
	}))
	mux.HandleFunc("POST /_localaws/trim", handleJSON(func(r *streamRequest) error {
		switch {
		case (r.Table == "") == (r.Stream == ""):
			return errors.New(`trim takes either a "table" or a "stream", and may take a time "before"`)
		case r.Table != "":
			return s.TrimTable(r.Table, r.Before)
		default:
			return s.TrimStream(r.Stream, r.Before)
		}
	}))
	mux.HandleFunc("GET /_localaws/snapshot", s.serveSnapshot)
	return mux
}

// serveSnapshot answers with the whole copy, or breaks the connection, so that a client never takes a part for it.
func (s *Server) serveSnapshot(w http.ResponseWriter, _ *http.Request) {
	begun := false
	err := s.Snapshot(writerFunc(func(p []byte) (int, error) {
		if !begun {
			w.Header().Set("Content-Type", "application/octet-stream")
			begun = true
		}
		return w.Write(p)
	}))
	switch {
	case err != nil && begun:
		panic(http.ErrAbortHandler)
	case err != nil:
		writeJSON(w, http.StatusConflict, map[string]string{"message": err.Error()})
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// handleJSON calls do with the decoded JSON body and answers only with a status or an error.
func handleJSON[In any](do func(*In) error) http.HandlerFunc {
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
	_ = json.NewEncoder(w).Encode(v) // the client may have disconnected
}
