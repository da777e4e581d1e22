package httpapi_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

var errNoDoor = &eventsourcing.Refusal{
	Kind: eventsourcing.NotFound, Code: "no_door", Reason: "there is no such door", Remedy: "correct the id",
}

// An operation names the refusals that it may answer with, and the product lists all of them for its documents.
func Example() {
	log := slog.New(slog.DiscardHandler)
	router := httpapi.NewRouter(log)
	api := httpapi.NewAPI(router)
	httpapi.Register(api, log, huma.Operation{
		OperationID: "openDoor", Method: http.MethodPut, Path: "/doors/{id}/open", Metadata: httpapi.MayAnswer(errNoDoor),
	}, func(context.Context, *struct {
		ID string `path:"id"`
	},
	) (*struct{}, error) {
		return nil, errNoDoor
	})
	info := httpapi.Info{Title: "Doors", Refusals: []*eventsourcing.Refusal{errNoDoor}}
	if err := httpapi.Publish(router, api, info); err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range []*http.Request{
		httptest.NewRequest(http.MethodPut, "/doors/7/open", nil), httptest.NewRequest(http.MethodGet, "/problems/no_door", nil),
	} {
		r.Header.Set("Accept", "application/json")
		answer := httptest.NewRecorder()
		router.ServeHTTP(answer, r)
		fmt.Print(answer.Code, " ", answer.Body, "\n")
	}
	// Output:
	// 404 {"type":"/problems/no_door","title":"Not Found","status":404,"code":"no_door","detail":"there is no such door"}
	//
	// 200 {"code":"no_door","status":404,"meaning":"there is no such door","remedy":"correct the id","passes":false}
}
