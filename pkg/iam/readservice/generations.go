package readservice

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leftfold/leftfold/pkg/engine/generation"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

type generationShown struct {
	Number int `json:"number" doc:"its number; the first one is 1" example:"1"`
	Shape  int `json:"shape" doc:"the number of the fold that writes its rows" example:"1"`
}

type generationsShown struct {
	Projection string           `json:"projection" doc:"the projection" example:"users"`
	Revision   int              `json:"revision" doc:"how often what follows has changed" example:"0"`
	Phase      generation.Phase `json:"phase" enum:"settled,filling,ready,switching,retiring" doc:"what the other generation is for"`
	Current    generationShown  `json:"current" doc:"the generation that is read"`
	Table      string           `json:"table" doc:"its table" example:"projection-user"`
	Other      *generationShown `json:"other,omitempty" doc:"the next generation, or the previous one"`
	OtherTable string           `json:"otherTable,omitempty" doc:"its table" example:"projection-user-g2"`
	At         *time.Time       `json:"at,omitempty" doc:"since when it is so; not known if no generation was ever begun"`
	Newest     int              `json:"newest" doc:"the newest shape of rows that this build writes" example:"1"`
	RebuildDue bool             `json:"rebuildDue" doc:"whether no generation has a shape as new as that"`
	Unknown    []int            `json:"unknown,omitempty" doc:"shapes that this build does not know: it leaves all events to newer ones"`
}

type generationsOutput struct{ Body generationsShown }

// RegisterGenerations adds a look at the projection's generations, as this process knows them, to an API. Like RegisterParked it
// is for operators. table is the first generation's.
func RegisterGenerations(
	api huma.API, name, table string, status func(context.Context) (generation.Status, error), log *slog.Logger,
) {
	httpapi.Register(api, log, huma.Operation{
		OperationID: "showGenerations-" + name, Method: http.MethodGet, Path: "/projections/" + name + "/generations",
		Tags: []string{"generations"}, Summary: "Show which tables of projection " + name + " are read and fed, and what this build writes",
	}, func(ctx context.Context, _ *struct{}) (*generationsOutput, error) {
		s, err := status(ctx)
		if err != nil {
			return nil, err
		}
		shown := generationsShown{
			Projection: name, Revision: s.Revision, Phase: s.Phase, Current: generationShown(s.Current), Table: s.Current.Name(table),
			Newest: s.Newest, RebuildDue: s.RebuildDue(), Unknown: s.Unknown,
		}
		if s.Other != nil {
			other := generationShown(*s.Other)
			shown.Other, shown.OtherTable = &other, s.Other.Name(table)
		}
		if !s.At.IsZero() {
			shown.At = &s.At
		}
		return &generationsOutput{shown}, nil
	})
}
