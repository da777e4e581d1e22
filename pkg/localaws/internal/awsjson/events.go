package awsjson

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/aws/smithy-go/eventstream"
)

// Events is an answer that goes on, event by event.
type Events interface {
	// Next waits for the next event and names its type. io.EOF ends the answer in good order, ErrBroken breaks the
	// connection; any other error is the answer's last event.
	Next(ctx context.Context) (eventType string, event any, err error)
	// Close is called once, when nobody listens any more.
	Close()
}

// ErrBroken lets the connection break.
var ErrBroken = errors.New("connection broken")

// stream writes events as frames, the first of which is the operation's output, which has no members:
// https://smithy.io/2.0/aws/amazon-eventstream.html
// https://smithy.io/2.0/spec/streaming.html#initial-response-messages
func (s *Service) stream(ctx context.Context, w http.ResponseWriter, events Events) {
	defer events.Close()
	w.Header().Set("Content-Type", "application/vnd.amazon.eventstream")
	w.WriteHeader(http.StatusOK)
	conn := http.NewResponseController(w)
	_ = conn.SetWriteDeadline(time.Time{}) // it lasts for longer than other answers may; what is not a connection needs none
	eventType, event, err := "initial-response", any(struct{}{}), error(nil)
	for {
		if s.send(w, eventType, event) != nil || conn.Flush() != nil {
			return // the client has gone
		}
		if eventType, event, err = events.Next(ctx); err != nil {
			break
		}
	}
	switch {
	case errors.Is(err, io.EOF) || ctx.Err() != nil:
	case errors.Is(err, ErrBroken):
		panic(http.ErrAbortHandler)
	default:
		s.sendError(w, err)
	}
}

func (s *Service) send(w io.Writer, eventType string, event any) error {
	payload, err := json.Marshal(event)
	if err != nil {
		return err
	}
	return s.frame(w, payload, eventstream.EventMessageType, eventstream.EventTypeHeader, eventType)
}

func (s *Service) sendError(w io.Writer, err error) {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		e = Errorf("InternalFailureException", "%s", err)
	}
	payload, err := json.Marshal(map[string]string{"message": e.Message})
	if err == nil {
		_ = s.frame(w, payload, eventstream.ExceptionMessageType, eventstream.ExceptionTypeHeader, e.Code) // the client may have gone
	}
}

func (s *Service) frame(w io.Writer, payload []byte, messageType, typeHeader, typeName string) error {
	var m eventstream.Message
	m.Headers.Set(eventstream.MessageTypeHeader, eventstream.StringValue(messageType))
	m.Headers.Set(typeHeader, eventstream.StringValue(typeName))
	m.Headers.Set(eventstream.ContentTypeHeader, eventstream.StringValue(s.ContentType))
	m.Payload = payload
	return eventstream.NewEncoder().Encode(w, m)
}
