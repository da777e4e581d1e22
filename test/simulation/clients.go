package simulation

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

// ledger records what the clients sent, what they were answered and what they read.
type ledger struct {
	mu       sync.Mutex
	commands []*command
	reads    []read
	accepted map[eventsourcing.StreamID]eventsourcing.Version // the highest version answered
	seen     map[eventsourcing.StreamID]eventsourcing.Version // the highest version read
	poisoned map[eventsourcing.StreamID]bool                  // their events cannot be applied
	toPark   []string                                         // poisoned streams that are certainly in the log
	failed   []string                                         // the codes of all answers to commands that were 5xx
	audits   []*audit                                         // of read models
	// verifications are comparisons of the archive with the log.
	verifications []*verification
	// unacceptable are items in the log that the pipeline cannot carry.
	unacceptable map[place]bool
	open         chan struct{}        // closed unless the clients are stopped
	retired      map[string]bool      // roles of which a client has learned it
	derived      map[string]*command  // what processes sent, by its key
	ends         map[string]time.Time // when a grant ends, as a client asked for it last, by the grant's path
}

// command is one request of a client and what came of it.
type command struct {
	request

	id string // its correlation ID

	ifMatch eventsourcing.Version // 0: none
	keyed   bool                  // it has an Idempotency-Key, and is sent again if it gets no clear answer
	sends   int
	lastAt  time.Time // of the last sending
	status  int       // 0: no answer
	code    string
	version eventsourcing.Version
	sentAt  time.Time
	endedAt time.Time
}

func (c *command) accepted() bool { return c.status == http.StatusAccepted }

// refused reports whether the answer promises that nothing was written.
func (c *command) refused() bool { return c.status >= 400 && c.status < 500 }

func (c *command) String() string {
	body, err := json.Marshal(c.body)
	if err != nil {
		body = nil
	}
	return fmt.Sprintf("%s: %s %s %s, if at %d, sent %d times -> %d %s version %d",
		c.id, c.method, c.path, body, c.ifMatch, c.sends, c.status, c.code, c.version)
}

// read is one GET with min_version that was answered.
type read struct {
	stream eventsourcing.StreamID
	least  eventsourcing.Version
	seen   eventsourcing.Version // the highest of those answered to reads that had ended before this one began
	status int
	view   view
	at     time.Time
}

// view is what a read shows of the aggregate itself.
type view struct {
	Email     string                `json:"email"`
	FirstName string                `json:"firstName"`
	LastName  string                `json:"lastName"`
	Name      string                `json:"name"`
	Disabled  bool                  `json:"disabled"`
	Version   eventsourcing.Version `json:"version"`

	Roles      []heldRole `json:"roles"`
	Essential  bool       `json:"essential"`
	MaxMembers int64      `json:"maxMembers"`
	Retiring   bool       `json:"retiring"`
	Retired    bool       `json:"retired"`
}

// heldRole is what a user's own row shows of a role.
type heldRole struct {
	ID    string    `json:"id"`
	Until time.Time `json:"until"`
}

func newLedger() *ledger {
	open := make(chan struct{})
	close(open)
	return &ledger{
		accepted: map[eventsourcing.StreamID]eventsourcing.Version{}, seen: map[eventsourcing.StreamID]eventsourcing.Version{},
		poisoned:     map[eventsourcing.StreamID]bool{},
		unacceptable: map[place]bool{}, open: open, ends: map[string]time.Time{}, retired: map[string]bool{}, derived: map[string]*command{},
	}
}

// stopClients makes the clients wait until resumeClients.
func (l *ledger) stopClients() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = make(chan struct{})
}

func (l *ledger) resumeClients() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.open)
}

func (l *ledger) awaitOpen() {
	l.mu.Lock()
	open := l.open
	l.mu.Unlock()
	<-open
}

// clientID returns a UUID as a client chooses it.
func clientID(n uint64, kind string) string {
	id := uuid.NewSHA1(uuid.NameSpaceOID, fmt.Append(nil, kind, n)) // version 5, unlike those that services generate
	return id.String()
}

// client is one of several that share a few users and roles, so that they conflict.
type client struct {
	*world

	number int
	random *rand.Rand
	sent   int
}

// clients runs the clients until each has sent its commands.
func (w *world) clients() {
	var playing sync.WaitGroup
	for i := range w.plan.Clients {
		c := w.newClient(i)
		playing.Go(func() {
			time.Sleep(time.Duration(i) * 1357911)
			c.play()
		})
	}
	if w.plan.Crowd {
		playing.Go(w.crowd)
	}
	playing.Wait()
}

func (c *client) play() {
	for c.sent < c.plan.Commands || !c.upgraded.Load() {
		c.ledger.awaitOpen()
		for range 1 + c.random.IntN(3) { // commands come in bursts
			c.command()
		}
		if c.random.IntN(2) == 0 {
			c.read()
		}
		time.Sleep(time.Duration(c.random.ExpFloat64() * float64(c.think())))
	}
}

// people and groups are the highest numbers of users and roles.
func (c *client) people() int {
	switch {
	case c.plan.Ruled:
		return 4
	case c.plan.Hot:
		return 3
	default:
		return 12
	}
}

func (c *client) groups() int {
	if c.plan.Hot || c.plan.Ruled {
		return 1
	}
	return 4
}

// think is the mean pause between bursts.
func (c *client) think() time.Duration {
	switch {
	case c.plan.Ruled:
		return 300 * time.Millisecond
	case c.plan.Hot:
		return 1500 * time.Millisecond
	default:
		return 3 * time.Second
	}
}

func (c *client) command() {
	c.sent++
	of := c.draw
	if c.sent <= 4 { // first create users and roles
		of = []func() request{c.register, c.register, c.createRole, c.register}[c.sent-1]
	}
	c.send(&command{id: fmt.Sprintf("c%d-%d", c.number, c.sent), request: of()})
}

func (c *client) word() string {
	return []string{"Ann", "Ben", "Cleo", "Dan", "Eve", "Fay"}[c.random.IntN(6)]
}

func (c *client) send(cmd *command) {
	c.ledger.mu.Lock()
	c.ledger.commands = append(c.ledger.commands, cmd)
	c.ledger.mu.Unlock()
	cmd.sentAt = time.Now()
	var body []byte
	if cmd.body != nil {
		body, _ = json.Marshal(cmd.body) // strings cannot fail
	}
	cmd.keyed = c.random.IntN(3) > 0
	if c.plan.EdgeRepeats && c.random.IntN(2) == 0 {
		c.ledger.mu.Lock()
		cmd.ifMatch = c.ledger.accepted[cmd.stream]
		c.ledger.mu.Unlock()
	}
	var status int
	var answer []byte
	for cmd.sends == 0 || (cmd.keyed && cmd.sends < 4 && (status == 0 || status >= http.StatusInternalServerError)) {
		if cmd.sends > 0 {
			time.Sleep(time.Duration(c.random.Int64N(int64(2 * time.Second))))
		}
		if status, answer = c.exchangeOf(cmd, body); status == 0 && cmd.keyed && c.plan.EdgeRepeats {
			status, answer = c.exchangeOf(cmd, body)
		}
	}
	cmd.endedAt = time.Now()
	var receipt struct {
		Version eventsourcing.Version `json:"version"`
		Code    string                `json:"code"`
	}
	if json.Unmarshal(answer, &receipt) != nil {
		status = 0
	}
	cmd.status, cmd.code, cmd.version = status, receipt.Code, receipt.Version
	if cmd.code == role.ErrRetired.Code {
		c.ledger.mu.Lock()
		if cmd.grant.role != "" {
			c.ledger.retired[cmd.grant.role] = true
		} else {
			c.ledger.retired[cmd.stream.ID] = true
		}
		c.ledger.mu.Unlock()
	}
	if cmd.accepted() {
		c.ledger.mu.Lock()
		c.ledger.accepted[cmd.stream] = max(c.ledger.accepted[cmd.stream], cmd.version)
		c.ledger.mu.Unlock()
	}
	c.scheduler.post(func() { c.trace.note("client %s", cmd) })
}

// exchangeOf sends the command to one of the replicas. An edge loses some of the answers.
func (c *client) exchangeOf(cmd *command, body []byte) (status int, answer []byte) {
	cmd.sends++
	cmd.lastAt = time.Now()
	replicas := c.of(commandAPI)
	status, answer = c.exchange(replicas[c.random.IntN(len(replicas))], cmd.method, cmd.path, cmd, body)
	if status >= http.StatusInternalServerError {
		var p httpapi.Problem
		_ = json.Unmarshal(answer, &p) // an answer without a code is a breach
		c.ledger.mu.Lock()
		c.ledger.failed = append(c.ledger.failed, p.Code)
		c.ledger.mu.Unlock()
	}
	if c.plan.EdgeRepeats && c.random.IntN(8) == 0 {
		return 0, nil
	}
	return status, answer
}

// exchange sends a request; status 0 means no answer.
func (c *client) exchange(target *replica, method, path string, of *command, body []byte) (status int, answer []byte) {
	patience := 2*time.Second + time.Duration(c.random.Int64N(int64(12*time.Second)))
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://leftfold.test"+path, bytes.NewReader(body))
	if err != nil {
		panic(err) // the path is valid
	}
	if of != nil {
		req.Header.Set(httpapi.CorrelationHeader, of.id)
		if of.keyed {
			req.Header.Set("Idempotency-Key", of.id)
		}
		if of.ifMatch > 0 {
			req.Header.Set("If-Match", httpapi.ETag(of.ifMatch))
		}
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := target.RoundTrip(req)
	if err != nil {
		return 0, nil
	}
	defer func() { _ = res.Body.Close() }() // in memory
	answer, err = io.ReadAll(res.Body)
	if err != nil {
		return 0, nil
	}
	return res.StatusCode, answer
}

// read reads an aggregate at the highest version that was answered.
func (c *client) read() {
	kind, projector := "user", projectorUser
	stream := eventsourcing.StreamID{Category: user.Category, ID: clientID(uint64(c.random.IntN(c.people())), "user")}
	if c.random.IntN(3) == 0 {
		kind, projector = "role", projectorRole
		stream = eventsourcing.StreamID{Category: role.Category, ID: clientID(uint64(c.random.IntN(c.groups())), "role")}
	}
	c.ledger.mu.Lock()
	least, seen := c.ledger.accepted[stream], c.ledger.seen[stream]
	c.ledger.mu.Unlock()
	path := fmt.Sprintf("/%ss/%s?min_version=%d&wait=%ds", kind, stream.ID, least, c.random.IntN(9))
	replicas := c.of(projector)
	if len(replicas) == 0 {
		return // a variant has no API
	}
	status, answer := c.exchange(replicas[c.random.IntN(len(replicas))], http.MethodGet, c.mutant.path(path), nil, nil)
	if status != http.StatusOK && status != http.StatusNotFound && status != http.StatusPreconditionFailed {
		return
	}
	r := read{stream: stream, least: least, seen: seen, status: status, at: time.Now()}
	if json.Unmarshal(answer, &r.view) != nil {
		return
	}
	if len(r.view.Roles) == 0 {
		r.view.Roles = nil
	}
	c.ledger.mu.Lock()
	c.ledger.reads = append(c.ledger.reads, r)
	c.ledger.seen[stream] = max(c.ledger.seen[stream], r.view.Version)
	c.ledger.mu.Unlock()
}
