package awsjson

import (
	"reflect"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// CBOR is the protocol application/x-amz-cbor-1.1, in which the SDKs for Java speak with Kinesis: the JSON protocol 1.1 with
// CBOR (RFC 8949) in place of JSON, with blobs as byte strings. It differs from the RFC in times, which have the tag of seconds
// but are milliseconds: https://github.com/aws/aws-sdk-java-v2/issues/4661
type CBOR struct{}

// Modes of reading and writing CBOR. Members are named and omitted as in JSON.
var (
	cborReading = must(cbor.DecOptions{DefaultMapType: reflect.TypeFor[map[string]any]()}.DecMode())
	cborWriting = must(cbor.EncOptions{OmitEmpty: cbor.OmitEmptyGoValue}.EncMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // a mistake in the options
	}
	return v
}

// CBORTime encodes a time as CBOR has it.
func CBORTime(t time.Time) ([]byte, error) {
	return cborWriting.Marshal(cbor.Tag{Number: 1, Content: t.UnixMilli()})
}

// ContentType implements Protocol.
func (CBOR) ContentType() string { return "application/x-amz-cbor-1.1" }

// Input implements Protocol.
func (CBOR) Input(body []byte) ([]byte, error) {
	if len(body) == 0 {
		return nil, nil
	}
	var in any
	if err := cborReading.Unmarshal(body, &in); err != nil {
		return nil, Errorf("SerializationException", "%s", err)
	}
	out, err := Marshal(forJSON(in))
	if err != nil {
		return nil, Errorf("SerializationException", "%s", err)
	}
	return out, nil
}

// forJSON replaces what encoding/json would encode otherwise than AWS's JSON.
func forJSON(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			v[name] = forJSON(member)
		}
	case []any:
		for i, element := range v {
			v[i] = forJSON(element)
		}
	case time.Time: // of a number of milliseconds, taken for seconds
		return float64(v.Unix()) / 1000
	}
	return v
}

// Output implements Protocol.
func (CBOR) Output(out any) ([]byte, error) { return cborWriting.Marshal(out) }

// Refusal implements Protocol.
func (CBOR) Refusal(e *Error, shape string) ([]byte, error) {
	return cborWriting.Marshal(e.members(shape))
}
