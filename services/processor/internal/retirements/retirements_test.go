package retirements_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/process"
	"github.com/leftfold/leftfold/pkg/iam/processes/retirement"
	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
	"github.com/leftfold/leftfold/services/processor/internal/retirements"
)

const auditor = "01920b7d-0a11-7d52-8c3f-6b1d2e4f5a90"

func TestHowFarARetirementHasComeIsShown(t *testing.T) {
	t.Parallel()
	state := func(phase retirement.Phase, failed ...retirement.Failure) retirement.State {
		return retirement.State{Phase: phase, Run: 2, Total: 3, Done: 2, Failed: failed}
	}
	type view = process.View[retirement.State]
	shown := func(phase, failed string) string {
		return fmt.Sprintf(`{"roleId":"%s","state":"%s","total":3,"done":2,"failed":[%s]}`, auditor, phase, failed)
	}
	const ann = "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57"
	for name, tt := range map[string]struct {
		view   view
		err    error
		status int
		body   string
	}{
		"it runs": {
			view: view{Version: 4, State: state(retirement.Running)}, status: 200, body: shown("running", ""),
		},
		"it fails for a user": {
			view: view{
				Version: 4, State: state(retirement.Running, retirement.Failure{UserID: ann, Reason: "user_not_found"}),
			},
			status: 200, body: shown("running", `{"userId":"`+ann+`","reason":"user_not_found"}`),
		},
		"it is done":       {view: view{Version: 9, State: state(retirement.Done)}, status: 200, body: shown("done", "")},
		"it was cancelled": {view: view{Version: 9, State: state(retirement.Cancelled)}, status: 200, body: shown("cancelled", "")},
		"an operator cancelled it": {
			view: view{Version: 9, State: state(retirement.Running), Cancelled: true}, status: 200, body: shown("cancelled", ""),
		},
		"an operator cancelled what was done": {
			view: view{Version: 9, State: state(retirement.Done), Cancelled: true}, status: 200, body: shown("done", ""),
		},
		"there is none":     {status: 404, body: "no_retirement"},
		"it cannot be read": {err: errors.New("no log"), status: 500, body: "internal"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := slog.New(slog.DiscardHandler)
			router := httpapi.NewRouter(log)
			api := httpapi.NewAPI(router)
			retirements.Register(api, func(_ context.Context, roleID string) (process.View[retirement.State], error) {
				assert.Equal(t, auditor, roleID)
				return tt.view, tt.err
			}, log)
			answer := httptest.NewRecorder()
			router.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/roles/"+auditor+"/retirement", nil))
			require.Equal(t, tt.status, answer.Code, answer.Body)
			if tt.status == http.StatusOK {
				assert.JSONEq(t, tt.body, answer.Body.String())
			} else {
				assert.Contains(t, answer.Body.String(), tt.body)
			}
			assert.Equal(t, auth.Scopes("roles:read", "users:read"), api.OpenAPI().Paths["/roles/{id}/retirement"].Get.Security, "it shows users")
		})
	}
}
