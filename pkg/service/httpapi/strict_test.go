package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestStrictFindsRepeatedMembersAndDeepNesting(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{}`: "", `{"a":1,"b":{"a":[{"a":"a"},"a"]}}`: "", `["a","a",{"a":"}\"{[\\"}]`: "", ` "a" `: "",
		`{"a":1,"a":2}`: "repeated", `{"a":1,"A":2}`: "", `{"a":{"b":1,"b":2}}`: "repeated", `[{"a":1},{"b":1,"\u0062":2}]`: "repeated",
		``: "not JSON", `{} {}`: "not JSON", `{"a"}`: "not JSON", `{"a":1`: "not JSON",
		strings.Repeat("[", 16) + strings.Repeat("]", 16): "", strings.Repeat("[", 17) + strings.Repeat("]", 17): "deeper than 16",
	} {
		if err := strict([]byte(text)); want == "" {
			assert.NoError(t, err, text)
		} else {
			assert.ErrorContains(t, err, want, text)
		}
	}
}

// FuzzStrict compares with what json.Decoder's tokens say.
func FuzzStrict(f *testing.F) {
	for _, seed := range []string{`{"a":1,"A":[{"\u0041":"\\\""}]}`, `[[{}],{"a":{"a":"}"}}]`, `{"a":"\\","b":"\"","a":0}`, `"`, `{} {}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		assert.Equal(t, byTokens(data), strict(data) == nil, "%q", data)
	})
}

func byTokens(data []byte) bool {
	if !json.Valid(data) {
		return false
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var open []map[string]bool
	atName := false
	for {
		token, err := d.Token()
		if err != nil {
			return errors.Is(err, io.EOF)
		}
		delim, _ := token.(json.Delim)
		name, text := token.(string)
		switch {
		case delim == '{':
			open = append(open, map[string]bool{})
		case delim == '[':
			open = append(open, nil)
		case delim != 0:
			open = open[:len(open)-1]
		case text && atName:
			if open[len(open)-1][name] {
				return false
			}
			open[len(open)-1][name], atName = true, false
			continue
		}
		if len(open) > maxDepth {
			return false
		}
		atName = len(open) > 0 && open[len(open)-1] != nil
	}
}
