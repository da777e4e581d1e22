package awsjson_test

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
)

type reference struct{ Name *string }

type request struct {
	reference

	Text    string
	Count   *int
	Data    []byte
	Tags    map[string]string
	Entries []entry
	Limit   float64 `json:"limit,omitempty"`
}

type entry struct {
	ID string `json:"Id"`
	*reference
}

// decoded returns what an operation gets of a body.
func decoded(t *testing.T, body string) (*request, error) {
	t.Helper()
	var got *request
	_, err := awsjson.Handle(func(_ context.Context, in *request) (*struct{}, error) {
		got = in
		return &struct{}{}, nil
	})(t.Context(), []byte(body))
	return got, err
}

// TestJSONIsReadAndWrittenAsByEncodingJSON: clients rely on what it takes, and stored requests on how it writes.
func TestJSONIsReadAndWrittenAsByEncodingJSON(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{}`, ` { } `, `null`, `[]`, `{"Text":"a","text":"b"}`, `{"TEXT":"a","Text":"b"}`, `{"Text":null,"Count":null,"Data":null,"Tags":null}`,
		`{"Count":1}`, `{"Count":1.0}`, `{"Count":"1"}`, `{"Count":1e3}`, `{"Text":1}`, `{"Data":"YQ=="}`, `{"Data":"YQ"}`, `{"Data":""}`,
		`{"Text":"\ud834 \u003c<&é"}`, `{"Tags":{"b":"2","a":"1"}}`, `{"Tags":{"a":"1","a":"2"}}`, `{"Entries":[]}`, `{"Entries":[{}]}`,
		`{"Entries":[{"Id":"1"},{"id":"2"}]}`, `{"Name":"n","limit":0}`, `{"limit":1.5}`, `{"Text":"a"`, `{"Text":"a",}`,
		"{\"Data\":\"Y\\nQ==\"}",
	} {
		d := json.NewDecoder(bytes.NewReader([]byte(body)))
		d.DisallowUnknownFields()
		var want request
		wantErr := d.Decode(&want)
		got, err := decoded(t, body)
		if wantErr != nil {
			var e *awsjson.Error
			require.ErrorAs(t, err, &e, body)
			assert.Equal(t, "SerializationException", e.Code, body)
			continue
		}
		require.NoError(t, err, body)
		assert.Equal(t, want, *got, body)
		wantText, err := json.Marshal(want)
		require.NoError(t, err)
		text, err := awsjson.Marshal(got)
		require.NoError(t, err)
		assert.Equal(t, string(wantText), string(text), body)
	}
	text, err := awsjson.Marshal(entry{"1", &reference{new("n")}})
	require.NoError(t, err)
	assert.JSONEq(t, `{"Id":"1","Name":"n"}`, string(text))
}

func TestUnknownMembersAreNamed(t *testing.T) {
	t.Parallel()
	for body, member := range map[string]string{
		`{"Text":"a","Colour":"red"}`: `"Colour"`, `{"Entries":[{"Id":"1","Si/ze":1}]}`: `"Si/ze"`, `{"":1}`: `""`,
	} {
		_, err := decoded(t, body)
		assert.Equal(t, awsjson.NotSupported("request member "+member), err, body)
	}
}
