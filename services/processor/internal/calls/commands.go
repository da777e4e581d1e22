package calls

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"golang.org/x/sync/errgroup"

	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/engine/process"
	"github.com/leftfold/leftfold/pkg/engine/progress"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/processes/grants"
	"github.com/leftfold/leftfold/pkg/iam/processes/retirement"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

// Grants sends the commands of package grants. It is a process.Config.Send.
func (c *Client) Grants(ctx context.Context, r process.Request) (process.Answer, error) {
	if r.Command.Name != grants.ExpireName {
		return process.Answer{}, unknown(r)
	}
	e, err := decoded[grants.Expire](r)
	if err != nil {
		return process.Answer{}, err
	}
	return c.command(ctx, request{
		of: r, method: http.MethodPut, url: c.commands + "/users/" + r.Process.ID + "/roles/" + string(e.RoleID) + "/expire", key: r.Key,
		body: map[string]any{"until": e.Until},
	}, e.Refusals())
}

// Retirement sends the commands of package retirement. It is a process.Config.Send.
func (c *Client) Retirement(ctx context.Context, r process.Request) (process.Answer, error) {
	switch r.Command.Name {
	case retirement.ListName:
		return c.list(ctx, r)
	case retirement.RevokeName:
		return c.revoke(ctx, r)
	case retirement.CompleteName:
		return c.command(ctx, request{
			of: r, method: http.MethodPut, url: c.commands + "/roles/" + r.Process.ID + "/retire/complete", key: r.Key,
		}, retirement.Complete{}.Refusals())
	}
	return process.Answer{}, unknown(r)
}

func unknown(r process.Request) error {
	return fmt.Errorf("command %s of %s: this build does not know it", r.Command.Name, r.Process)
}

func decoded[T any](r process.Request) (v T, err error) {
	if err := json.Unmarshal(r.Command.Data, &v); err != nil {
		return v, fmt.Errorf("command %s of %s: %w", r.Command.Name, r.Process, err)
	}
	return v, nil
}

// command sends a command that is one request. A refusal that its process does not understand is no answer: the command stays open and
// counts as stuck until a build understands it, or an operator cancels the process.
func (c *Client) command(ctx context.Context, r request, understood []*eventsourcing.Refusal) (process.Answer, error) {
	refused, _, err := c.do(ctx, r, nil)
	if err != nil {
		return process.Answer{}, err
	}
	if refused != "" && !slices.ContainsFunc(understood, func(of *eventsourcing.Refusal) bool { return of.Code == refused }) {
		return process.Answer{}, fmt.Errorf("%s %s: refused by %s, which the process does not understand", r.method, r.url, refused)
	}
	return process.Answer{Refused: refused}, nil
}

// list reads a page of a role's members.
func (c *Client) list(ctx context.Context, r process.Request) (process.Answer, error) {
	l, err := decoded[retirement.List](r)
	if err != nil {
		return process.Answer{}, err
	}
	query := url.Values{"limit": {strconv.Itoa(retirement.PageSize)}}
	if l.After != "" {
		query.Set("cursor", l.After)
	}
	var members []struct {
		ID string `json:"id"`
	}
	at := c.roles + "/roles/" + r.Process.ID + "/users?" + query.Encode()
	refused, header, err := c.do(ctx, request{of: r, method: http.MethodGet, url: at}, &members)
	if err == nil && refused != "" { // the read model lags behind, or its cursor is of another build
		err = fmt.Errorf("GET %s: refused by %s", at, refused)
	}
	if err != nil {
		return process.Answer{}, err
	}
	page := retirement.Page{UserIDs: []string{}}
	for _, m := range members {
		page.UserIDs = append(page.UserIDs, m.ID)
	}
	next, err := url.Parse(httpapi.NextPage(header))
	if err != nil {
		return process.Answer{}, fmt.Errorf("GET %s: its next page: %w", at, err)
	}
	page.Next = next.Query().Get("cursor")
	return answer(page)
}

// parallel is how many users lose a role at once.
const parallel = 4

// revoke takes a role from users, each by a request with a key of its own. One that does not hold it is as good as done. If one has no
// answer, the command has none: it is sent again, and those that were answered are answered by their keys.
func (c *Client) revoke(ctx context.Context, r process.Request) (process.Answer, error) {
	v, err := decoded[retirement.Revoke](r)
	if err != nil {
		return process.Answer{}, err
	}
	refusals := make([]string, len(v.UserIDs))
	var group errgroup.Group
	group.SetLimit(parallel)
	for i, id := range v.UserIDs {
		group.Go(func() (err error) {
			defer progress.Turn(ctx)
			if err := c.limit.Wait(ctx); err != nil {
				return err
			}
			refusals[i], _, err = c.do(ctx, request{
				of: r, method: http.MethodDelete, url: c.commands + "/users/" + id + "/roles/" + r.Process.ID,
				key: fmt.Sprintf("%s/%d", r.Key, i+1),
			}, nil)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return process.Answer{}, err
	}
	var revoked retirement.Revoked
	for i, refused := range refusals {
		if refused == "" || refused == user.ErrRoleNotHeld.Code {
			revoked.Done++
		} else {
			revoked.Failed = append(revoked.Failed, retirement.Failure{UserID: v.UserIDs[i], Reason: refused})
		}
	}
	return answer(revoked)
}

func answer(data any) (process.Answer, error) {
	text, err := json.Marshal(data)
	if err != nil {
		return process.Answer{}, fmt.Errorf("encode an answer: %w", err)
	}
	return process.Answer{Data: text}, nil
}
