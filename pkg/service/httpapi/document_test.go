package httpapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

// product describes the product of these tests.
func product() httpapi.Info {
	return httpapi.Info{
		Title: "Greeter", Description: "It greets.", ExampleIDs: map[string]string{"greet": "7"},
		Refusals: []*eventsourcing.Refusal{errGone},
	}
}

var errGone = &eventsourcing.Refusal{Kind: eventsourcing.NotFound, Code: "gone", Reason: "it has gone", Remedy: "wait until it is `back`"}

func TestEveryProblemsTypeResolves(t *testing.T) {
	t.Parallel()
	h := newPublic(t, httpapi.Config{}, nil)
	index := send(t, h, http.MethodGet, "/problems").Body.String()
	codes := map[string]bool{}
	for _, e := range product().Problems() {
		codes[e.Code] = true
		link := httpapi.NewProblem(e.Status, e.Code, "").Type
		assert.Contains(t, index, `href="`+link+`"`)
		page := send(t, h, http.MethodGet, link, "Accept", "text/html,application/json;q=0.9")
		assert.Equal(t, http.StatusOK, page.Code, link)
		assert.Equal(t, "text/html; charset=utf-8", page.Header().Get("Content-Type"))
		assert.Contains(t, page.Body.String(), "<h1>"+e.Code+"</h1>")
		assert.Contains(t, page.Body.String(), "<title>"+e.Code+" – Greeter</title>")
		assert.Equal(t, 1, strings.Count(page.Body.String(), ">"+e.Code+"<"), "said once, in the heading")
		data := send(t, h, http.MethodGet, link, "Accept", "application/json")
		assert.Equal(t, "application/json", data.Header().Get("Content-Type"))
		var got httpapi.Entry
		require.NoError(t, json.Unmarshal(data.Body.Bytes(), &got))
		assert.Equal(t, e, got)
	}
	assert.True(t, codes["gone"] && codes["invalid"], "the product's and the package's own")
	unknown := send(t, h, http.MethodGet, "/problems/none")
	assert.Equal(t, http.StatusNotFound, unknown.Code)
	assert.Contains(t, unknown.Body.String(), `"code":"not_found"`)
}

// TestTheDocsPageLoadsNothingFromOtherServers: its policy forbids it.
func TestTheDocsPageLoadsNothingFromOtherServers(t *testing.T) {
	t.Parallel()
	h := newPublic(t, httpapi.Config{}, nil)
	page := send(t, h, http.MethodGet, "/docs")
	require.Equal(t, http.StatusOK, page.Code)
	assert.Contains(t, page.Header().Get("Content-Security-Policy"), "script-src 'self';")
	links := regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(page.Body.String(), -1)
	assert.Len(t, links, 7)
	for _, link := range links {
		assert.True(t, strings.HasPrefix(link[1], "/"), link[1])
		out := send(t, h, http.MethodGet, link[1])
		assert.Equal(t, http.StatusOK, out.Code, link[1])
		assert.NotZero(t, out.Body.Len(), link[1])
	}
	assert.NotContains(t, page.Body.String(), "<script>", "the policy forbids it")
	assert.Equal(t, http.StatusNotFound, send(t, h, http.MethodGet, "/docs/index.html").Code)
}

func TestTheFrontPageLeadsEverywhere(t *testing.T) {
	t.Parallel()
	info := product()
	info.Title, info.Description, info.Walk = "Doors & more", "One.\n\nTwo <b>.", "curl http://{address}/greet"
	info.Links = []httpapi.Link{{Address: "/greet", Name: "Greet", Means: "says hello"}}
	r := httpapi.NewRouter(quiet())
	api := httpapi.NewAPI(r)
	httpapi.Register(api, quiet(), huma.Operation{OperationID: "greet", Method: http.MethodGet, Path: "/greet"},
		func(context.Context, *struct{}) (*greeting, error) { return &greeting{}, nil })
	require.NoError(t, httpapi.Publish(r, api, info))
	page := send(t, r, http.MethodGet, "/")
	require.Equal(t, http.StatusOK, page.Code)
	for _, text := range []string{"<title>Doors &amp; more</title>", "<p>Two &lt;b&gt;.</p>", "curl http://example.com/greet"} {
		assert.Contains(t, page.Body.String(), text)
	}
	problems := send(t, r, http.MethodGet, "/problems").Body.String()
	assert.Contains(t, problems, `href="/"`)
	links := regexp.MustCompile(`href="([^"]+)"`).FindAllStringSubmatch(page.Body.String()+problems, -1)
	for _, link := range links {
		assert.Equal(t, http.StatusOK, send(t, r, http.MethodGet, link[1]).Code, link[1])
	}
}

type named struct {
	ID   string `path:"id" example:"1"`
	Body struct {
		Name string `json:"name" example:"Ann"`
	}
}

type texts struct {
	ETag string `header:"ETag" example:"\"1\""`
	Body struct {
		Texts []string `json:"texts" example:"[\"hello\"]"`
	}
}

// newGreeter returns an API with the operations of these tests.
func newGreeter() huma.API {
	api := httpapi.NewAPI(chi.NewRouter())
	httpapi.Register(api, quiet(), huma.Operation{
		OperationID: "greet", Method: http.MethodPost, Path: "/greet/{id}", Tags: []string{"users"},
		Metadata: httpapi.MayAnswer(errGone, eventsourcing.ErrConflict), Security: []map[string][]string{{"oidc": {"x"}}},
	}, func(context.Context, *named) (*texts, error) { return &texts{}, nil })
	httpapi.Register(api, quiet(), huma.Operation{OperationID: "list", Method: http.MethodGet, Path: "/greet"},
		func(context.Context, *struct{ httpapi.Paging }) (*httpapi.Page[string], error) { return nil, nil })
	return api
}

func TestTheDocumentIsTheSameForTheSameOperations(t *testing.T) {
	t.Parallel()
	first, err := httpapi.Document(newGreeter(), product())
	require.NoError(t, err)
	for range 20 {
		again, err := httpapi.Document(newGreeter(), product())
		require.NoError(t, err)
		require.Equal(t, string(first), string(again))
	}
}

func TestTheDocumentListsEveryAnswerOfAnOperation(t *testing.T) {
	t.Parallel()
	text, err := httpapi.Document(newGreeter(), product())
	require.NoError(t, err)
	var doc struct {
		OpenAPI string `json:"openapi"`
		Paths   map[string]map[string]struct {
			Responses map[string]struct {
				Ref     string         `json:"$ref"`
				Headers map[string]any `json:"headers"`
				Content map[string]struct {
					Example any `json:"example"`
				} `json:"content"`
			} `json:"responses"`
			RequestBody struct {
				Content map[string]struct {
					Example any `json:"example"`
				} `json:"content"`
			} `json:"requestBody"`
		} `json:"paths"`
		Components struct {
			Responses map[string]struct {
				Headers map[string]any `json:"headers"`
			} `json:"responses"`
			Schemas map[string]any `json:"schemas"`
		} `json:"components"`
	}
	require.NoError(t, json.Unmarshal(text, &doc))
	assert.Equal(t, "3.1.0", doc.OpenAPI)
	refs := map[string]string{}
	greet := doc.Paths["/greet/{id}"]["post"]
	for status, answer := range greet.Responses {
		refs[status] = strings.TrimPrefix(answer.Ref, "#/components/responses/")
	}
	assert.Equal(t, map[string]string{
		"200": "", "400": "malformed", "401": "unauthenticated", "403": "forbidden", "404": "gone", "408": "timeout", "409": "busy",
		"413": "too_large", "415": "unsupported_media_type", "422": "invalid", "429": "too_many_requests", "431": "header_too_large",
		"500": "internal", "503": "unavailable",
	}, refs)
	assert.Equal(t, map[string]any{"name": "Ann"}, greet.RequestBody.Content["application/json"].Example)
	assert.Equal(t, map[string]any{"texts": []any{"hello"}}, greet.Responses["200"].Content["application/json"].Example)
	assert.Contains(t, greet.Responses["200"].Headers, "ETag")
	assert.Contains(t, doc.Components.Responses["busy"].Headers, "Retry-After")
	assert.Contains(t, doc.Components.Responses["forbidden"].Headers, "WWW-Authenticate")
	for name, answer := range doc.Components.Responses {
		assert.Contains(t, answer.Headers, httpapi.CorrelationHeader, name)
	}
	assert.NotContains(t, doc.Paths["/greet"]["get"].Responses, "401", "it needs no token")
	assert.NotContains(t, doc.Paths["/greet"]["get"].Responses, "413", "it has no body")
	assert.NotContains(t, doc.Components.Schemas, "ErrorModel")
	assert.NotContains(t, string(text), "patternDescription")
}

func TestAnUnlistedRefusalCannotBePublished(t *testing.T) {
	t.Parallel()
	r := chi.NewRouter()
	api := httpapi.NewAPI(r)
	httpapi.Register(api, quiet(), huma.Operation{
		OperationID: "x", Method: http.MethodGet, Path: "/x",
		Metadata: httpapi.MayAnswer(&eventsourcing.Refusal{Kind: eventsourcing.FailedPrecondition, Code: "odd"}),
	}, func(context.Context, *struct{}) (*struct{}, error) { return nil, nil })
	require.EqualError(t, httpapi.Publish(r, api, product()), "operation x may answer odd, which Info.Refusals does not list")
}

func TestAQueryParameterMustBeKnownAndSentOnce(t *testing.T) {
	t.Parallel()
	r := httpapi.NewRouter(quiet())
	httpapi.Register(httpapi.NewAPI(r), quiet(), huma.Operation{OperationID: "list", Method: http.MethodGet, Path: "/"},
		func(_ context.Context, in *struct{ httpapi.Paging }) (*httpapi.Page[int], error) {
			return &httpapi.Page[int]{Body: []int{in.Limit}}, nil
		})
	for query, want := range map[string]struct {
		status int
		at     string
	}{
		"":                      {200, ""},
		"?limit=7":              {200, ""},
		"?cursor=&limit=7":      {200, ""},
		"?limit=":               {422, "query.limit"},
		"?limit=7&limit=7":      {422, "query.limit"},
		"?limit=7&colour=red":   {422, "query.colour"},
		"?limit=7&%3Cscript%3E": {422, "query"},
		"?cursor=%ff":           {422, "query.cursor"},
		"?limit=%zz":            {400, "query"},
		"?limit=7;cursor=x":     {400, "query"},
	} {
		out := send(t, r, http.MethodGet, "/"+query)
		assert.Equal(t, want.status, out.Code, query)
		assert.NotContains(t, out.Body.String(), "script")
		if want.at != "" {
			var p httpapi.Problem
			require.NoError(t, json.NewDecoder(io.Reader(out.Body)).Decode(&p))
			require.Len(t, p.Errors, 1, query)
			assert.Equal(t, want.at, p.Errors[0].Location, query)
		}
	}
}

func TestABodyMustBeDeclaredAsJSON(t *testing.T) {
	t.Parallel()
	h := newServer(io.Discard, nil)
	for contentType, want := range map[string]int{
		"application/json": 200, "Application/JSON": 200, "application/json; charset=utf-8": 200, "application/json ; charset=utf-8": 200,
		"application/problem+json": 415, "text/json": 415, "application/jsonp": 415, ";": 415, "": 415,
		"application/json, text/plain": 415,
	} {
		rec, _ := do(t, h, http.MethodPost, "/greet", contentType, `{"name":"Ann"}`)
		assert.Equal(t, want, rec.Code, contentType)
	}
}

func TestAnswersAreJSONWhateverTheClientAccepts(t *testing.T) {
	t.Parallel()
	h := newPublic(t, httpapi.Config{}, nil)
	for _, accept := range []string{"text/html", "json", "application/problem+json", "*/*", "application/json;q=0"} {
		out := send(t, h, http.MethodGet, "/greet", "Accept", accept)
		assert.Equal(t, http.StatusOK, out.Code)
		assert.Equal(t, "application/json", out.Header().Get("Content-Type"), accept)
	}
}

type shaped struct {
	Body struct {
		Short string `json:"short" maxLength:"3"`
		Name  string `json:"name" pattern:"^[a-z]+$"`
	}
}

// Resolve implements huma.Resolver.
func (in *shaped) Resolve(huma.Context) []error {
	return httpapi.Parse("body.name", &in.Body.Name, in.Body.Name, func(text string) (string, error) {
		if text == "7" {
			return "", errors.New("a name has letters, such as dan")
		}
		return text, nil
	})
}

func TestAParsersMessageReplacesTheSchemas(t *testing.T) {
	t.Parallel()
	r := httpapi.NewRouter(quiet())
	httpapi.Register(httpapi.NewAPI(r), quiet(), huma.Operation{OperationID: "x", Method: http.MethodPost, Path: "/"},
		func(context.Context, *shaped) (*struct{}, error) { return &struct{}{}, nil })
	for body, want := range map[string][]httpapi.Field{
		`{"short":"long","name":"7"}`: {
			{Location: "body.name", Message: "a name has letters, such as dan"},
			{Location: "body.short", Message: "expected length <= 3"},
		},
		`{"short":"","name":"8"}`: {{Location: "body.name", Message: "expected string to match pattern ^[a-z]+$"}},
		`{"short":"","name":7}`:   {{Location: "body.name", Message: "expected string"}},
	} {
		_, p := do(t, r, http.MethodPost, "/", "application/json", body)
		assert.Equal(t, want, p.Errors, body)
	}
}

func TestMemberNamesAreCaseSensitive(t *testing.T) {
	t.Parallel()
	type body struct {
		Body struct {
			Kind  string `json:"kind"`
			Names []struct {
				First string `json:"first"`
			} `json:"names,omitempty"`
		}
	}
	r := httpapi.NewRouter(quiet())
	httpapi.Register(httpapi.NewAPI(r), quiet(), huma.Operation{OperationID: "x", Method: http.MethodPost, Path: "/"},
		func(context.Context, *body) (*struct{}, error) { return &struct{}{}, nil })
	unexpected := func(at string) httpapi.Field { return httpapi.Field{Location: at, Message: "unexpected"} }
	hidden := func(at string) httpapi.Field {
		return httpapi.Field{Location: at, Message: "has an unexpected part, whose name is not repeated here"}
	}
	missing := func(at string) httpapi.Field { return httpapi.Field{Location: at, Message: "is missing"} }
	for text, want := range map[string][]httpapi.Field{
		`{"kind":"a","names":[{"first":"b"}]}`:                  nil,
		`{"KIND":"a"}`:                                          {unexpected("body.KIND"), missing("body.kind")},
		`{"kind":"a","Kind":"b"}`:                               {unexpected("body.Kind")},
		`{"kind":"a","name\u017f":[]}`:                          {hidden("body")}, // long s
		"{\"kind\":\"a\",\"\u212aind\":\"b\"}":                  {hidden("body")}, // Kelvin sign
		`{"kind":"a","names":[{"fir\u017ft":"b","first":"c"}]}`: {hidden("body.names[0]")},
		`{"kind":"a","names":[{"FIRST":"b"}]}`:                  {unexpected("body.names[0].FIRST"), missing("body.names[0].first")},
	} {
		_, p := do(t, r, http.MethodPost, "/", "application/json", text)
		assert.Equal(t, want, p.Errors, text)
	}
}
