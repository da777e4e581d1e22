package httpapi

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
)

// strictQuery refuses parameters that the operation does not know, because a misspelt one would be ignored, and those that
// are repeated, because one would have to be picked. An empty text counts as left out; an empty number does not.
func strictQuery(api huma.API) func(huma.Context, func(huma.Context)) {
	return func(c huma.Context, next func(huma.Context)) {
		address := c.URL()
		if address.RawQuery == "" {
			next(c)
			return
		}
		query, err := url.ParseQuery(address.RawQuery)
		if err != nil {
			_ = huma.WriteErr(api, c, http.StatusBadRequest, "", &huma.ErrorDetail{Location: "query", Message: "is not well encoded"})
			return
		}
		var errs []error
		for name, values := range query {
			at := slices.IndexFunc(c.Operation().Parameters, func(p *huma.Param) bool { return p.In == "query" && p.Name == name })
			message := ""
			switch {
			case at < 0:
				name, message = "", "has a parameter that this operation does not know"
			case len(values) > 1:
				message = "is repeated"
			case values[0] == "" && c.Operation().Parameters[at].Schema.Type != huma.TypeString:
				message = "is empty; leave it out"
			case !utf8.ValidString(values[0]):
				message = "is not valid UTF-8"
			default:
				continue
			}
			errs = append(errs, &huma.ErrorDetail{Location: strings.TrimSuffix("query."+name, "."), Message: message})
		}
		if len(errs) > 0 {
			_ = huma.WriteErr(api, c, http.StatusUnprocessableEntity, "", errs...) // the client may have gone
			return
		}
		next(c)
	}
}
