package simulation

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/leftfold/leftfold/pkg/iam/processes/retirement"
)

const (
	// crowdSize is how many users hold the crowd's role: more than a page of its retirement has.
	crowdSize = retirement.PageSize + 20
	// joiners is how many of them get it at once.
	joiners = 10
)

// crowd gives one role to many users and then retires it, by commands like those of the clients.
func (w *world) crowd() {
	of := clientID(w.plan.Seed, "crowd's role")
	lead := w.newClient(w.plan.Clients)
	lead.insist(forRole(of, http.MethodPost, "/roles", map[string]any{"id": of, "name": "crowd"}))
	var joining sync.WaitGroup
	for i := range joiners {
		c := w.newClient(w.plan.Clients + 1 + i)
		joining.Go(func() {
			time.Sleep(time.Duration(i) * 1357911)
			for n := i; n < crowdSize; n += joiners {
				id := clientID(uint64(n), "one of the crowd")
				c.insist(forUser(id, http.MethodPost, "/users", map[string]any{"id": id, "email": fmt.Sprintf("crowd%d@example.com", n)}))
				r := forUser(id, http.MethodPost, "/users/"+id+"/roles", map[string]any{"roleId": of})
				r.grant = grant{id, of}
				c.insist(r)
			}
		})
	}
	joining.Wait()
	lead.insist(forRole(of, http.MethodPut, "/roles/"+of+"/retire", nil))
}

func (w *world) newClient(number int) *client {
	return &client{world: w, number: number, random: rand.New(rand.NewPCG(w.plan.Seed, uint64(100+number)))}
}

// insist sends a request as new commands until one of them is accepted, or refused.
func (c *client) insist(r request) {
	for range 10 {
		c.ledger.awaitOpen()
		c.sent++
		cmd := &command{id: fmt.Sprintf("c%d-%d", c.number, c.sent), request: r}
		if c.send(cmd); cmd.accepted() || cmd.refused() {
			return
		}
		time.Sleep(time.Duration(c.random.Int64N(int64(5 * time.Second))))
	}
}
