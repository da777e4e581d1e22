package awsjson

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/aws/smithy-go/eventstream"
)

// Events is a streaming response.
type Events interface {
	// Next waits for the next event. io.EOF ends the response regularly, ErrBroken breaks the connection, and any other
	// error is sent as the last event.
	Next(ctx context.Context) (eventType string, event any, err error)
	// Close is called once, after the last Next.
	Close()
}

// ErrBroken breaks the connection.
var ErrBroken = errors.New("connection broken")

// stream writes events as frames. The first frame is the operation's output, which has no members:
// https://smithy.io/2.0/aws/amazon-eventstream.html
// https://smithy.io/2.0/spec/streaming.html#initial-response-messages
func (r Request) stream(ctx context.Context, w http.ResponseWriter, events Events) {
	defer events.Close()
	w.Header().Set("Content-Type", "application/vnd.amazon.eventstream")
	w.WriteHeader(http.StatusOK)
	conn := http.NewResponseController(w)
	_ = conn.SetWriteDeadline(time.Time{}) // streams outlast the server's limit; fails harmlessly where there is no connection
	eventType, event, err := "initial-response", any(struct{}{}), error(nil)
	for {
		if r.send(w, eventType, event) != nil || conn.Flush() != nil {
			return // the client has disconnected
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
		r.sendError(w, err)
	}
}

func (r Request) send(w io.Writer, eventType string, event any) error {
	payload, err := r.Protocol.Output(event)
	if err != nil {
		return err
	}
	return r.frame(w, payload, eventstream.EventMessageType, eventstream.EventTypeHeader, eventType)
}

func (r Request) sendError(w io.Writer, err error) {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		e = Errorf("InternalFailureException", "%s", err)
	}
	payload, err := r.Protocol.Output(map[string]string{"message": e.Message})
	if err == nil {
		_ = r.frame(w, payload, eventstream.ExceptionMessageType, eventstream.ExceptionTypeHeader, e.Code) // the client may have disconnected
	}
}

func (r Request) frame(w io.Writer, payload []byte, messageType, typeHeader, typeName string) error {
	var m eventstream.Message
	m.Headers.Set(eventstream.MessageTypeHeader, eventstream.StringValue(messageType))
	m.Headers.Set(typeHeader, eventstream.StringValue(typeName))
	m.Headers.Set(eventstream.ContentTypeHeader, eventstream.StringValue(r.Protocol.ContentType()))
	m.Payload = payload
	return eventstream.NewEncoder().Encode(w, m)
}
