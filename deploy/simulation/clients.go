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
	"github.com/leftfold/leftfold/pkg/httpserver"
)

// ledger is what the clients know: what they asked for, what they were told, what they saw.
type ledger struct {
	mu       sync.Mutex
	commands []*command
	reads    []read
	told     map[eventsourcing.StreamID]eventsourcing.Version
	poisoned map[eventsourcing.StreamID]eventsourcing.Version
	open     chan struct{} // closed by day
}

// command is one request of a client and what came of it.
type command struct {
	id     string // its correlation ID
	stream eventsourcing.StreamID
	method string
	path   string
	body   map[string]string

	status  int // 0: no answer
	code    string
	version eventsourcing.Version
	sentAt  time.Time
	endedAt time.Time
}

func (c *command) accepted() bool { return c.status == http.StatusAccepted }

// refused says whether the answer promises that nothing was written.
func (c *command) refused() bool { return c.status >= 400 && c.status < 500 }

func (c *command) String() string {
	body, err := json.Marshal(c.body)
	if err != nil {
		body = nil
	}
	return fmt.Sprintf("%s: %s %s %s -> %d %s version %d", c.id, c.method, c.path, body, c.status, c.code, c.version)
}

// read is one GET with min_version that was answered.
type read struct {
	stream eventsourcing.StreamID
	least  eventsourcing.Version
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
}

func newLedger() *ledger {
	open := make(chan struct{})
	close(open)
	return &ledger{
		told: map[eventsourcing.StreamID]eventsourcing.Version{}, poisoned: map[eventsourcing.StreamID]eventsourcing.Version{}, open: open,
	}
}

// night keeps the clients waiting.
func (l *ledger) night(falls bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if falls {
		l.open = make(chan struct{})
	} else {
		close(l.open)
	}
}

func (l *ledger) day() {
	l.mu.Lock()
	open := l.open
	l.mu.Unlock()
	<-open
}

// clientID is a UUID that a client chose.
func clientID(n uint64, kind string) string {
	id := uuid.NewSHA1(uuid.NameSpaceOID, fmt.Append(nil, kind, n)) // version 5: unlike those that services make
	return id.String()
}

// client is one of many that share a few users and roles, so that they get in each other's way.
type client struct {
	*world

	number int
	random *rand.Rand
	sent   int
}

// clients play until each has sent its commands.
func (w *world) clients() {
	var playing sync.WaitGroup
	for i := range w.plan.Clients {
		c := &client{world: w, number: i, random: rand.New(rand.NewPCG(w.plan.Seed, uint64(100+i)))} //nolint:gosec // repeatable on purpose
		playing.Go(func() {
			time.Sleep(time.Duration(i) * 1357911)
			c.play()
		})
	}
	playing.Wait()
}

func (c *client) play() {
	for c.sent < c.plan.Commands {
		c.ledger.day()
		for range 1 + c.random.IntN(3) { // commands come in bursts
			c.command()
		}
		if c.random.IntN(2) == 0 {
			c.read()
		}
		time.Sleep(time.Duration(c.random.ExpFloat64() * float64(3*time.Second)))
	}
}

const (
	people = 12
	groups = 4
)

func (c *client) command() {
	c.sent++
	userID, roleID := clientID(uint64(c.random.IntN(people)), "user"), clientID(uint64(c.random.IntN(groups)), "role") //nolint:gosec // small
	email := fmt.Sprintf("mail%d@example.com", c.random.IntN(people))
	name := fmt.Sprintf("role-%c", 'a'+rune(c.random.IntN(groups+1)))
	cmd := &command{id: fmt.Sprintf("c%d-%d", c.number, c.sent), method: http.MethodPut}
	forUser, forRole := "/users/"+userID, "/roles/"+roleID
	n := c.random.IntN(100)
	if c.sent <= 4 { // there must be somebody first
		n = []int{0, 0, 81, 0}[c.sent-1]
	}
	switch {
	case n < 22:
		cmd.method, cmd.path, cmd.body = http.MethodPost, "/users", map[string]string{"id": userID, "email": email}
	case n < 40:
		cmd.path, cmd.body = forUser, map[string]string{"firstName": c.word(), "lastName": c.word()}
	case n < 52:
		cmd.path, cmd.body = forUser+"/email", map[string]string{"email": email}
	case n < 56:
		cmd.path = forUser + "/disable"
	case n < 62:
		cmd.path = forUser + "/enable"
	case n < 76:
		cmd.method, cmd.path, cmd.body = http.MethodPost, forUser+"/roles", map[string]string{"roleId": roleID}
	case n < 81:
		cmd.method, cmd.path = http.MethodDelete, forUser+forRole
	case n < 88:
		cmd.method, cmd.path, cmd.body = http.MethodPost, "/roles", map[string]string{"id": roleID, "name": name}
	case n < 93:
		cmd.path, cmd.body = forRole, map[string]string{"name": name}
	case n < 96:
		cmd.path = forRole + "/disable"
	default:
		cmd.path = forRole + "/enable"
	}
	cmd.stream = eventsourcing.StreamID{Category: user.Category, ID: userID}
	if len(cmd.path) > 5 && cmd.path[:6] == "/roles" {
		cmd.stream = eventsourcing.StreamID{Category: role.Category, ID: roleID}
	}
	c.send(cmd)
}

func (c *client) word() string {
	return []string{"Ann", "Ben", "Cleo", "Dan", "Eve", "Fay"}[c.random.IntN(6)]
}

func (c *client) send(cmd *command) {
	c.ledger.mu.Lock()
	c.ledger.commands = append(c.ledger.commands, cmd)
	c.ledger.mu.Unlock()
	cmd.sentAt = time.Now() //nolint:forbidigo // virtual
	var body []byte
	if cmd.body != nil {
		body, _ = json.Marshal(cmd.body) // strings cannot fail
	}
	replicas := c.of(commandAPI)
	target := replicas[c.random.IntN(len(replicas))]
	status, answer := c.exchange(target, cmd.method, cmd.path, cmd.id, body)
	cmd.endedAt = time.Now() //nolint:forbidigo // virtual
	var told struct {
		Version eventsourcing.Version `json:"version"`
		Code    string                `json:"code"`
	}
	if json.Unmarshal(answer, &told) != nil {
		status = 0
	}
	cmd.status, cmd.code, cmd.version = status, told.Code, told.Version
	if cmd.accepted() {
		c.ledger.mu.Lock()
		c.ledger.told[cmd.stream] = max(c.ledger.told[cmd.stream], cmd.version)
		c.ledger.mu.Unlock()
	}
	c.scheduler.ask(func() { c.trace.note("client %s", cmd) })
}

// exchange sends a request; status 0 is no answer.
func (c *client) exchange(target *replica, method, path, id string, body []byte) (status int, answer []byte) {
	patience := 2*time.Second + time.Duration(c.random.Int64N(int64(12*time.Second)))
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://leftfold.test"+path, bytes.NewReader(body))
	if err != nil {
		panic(err) // a path of our own
	}
	req.Header.Set(httpserver.CorrelationHeader, id)
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

// read asks for what somebody was told.
func (c *client) read() {
	kind, projector := "user", projectorUser
	stream := eventsourcing.StreamID{Category: user.Category, ID: clientID(uint64(c.random.IntN(people)), "user")} //nolint:gosec // small
	if c.random.IntN(3) == 0 {
		kind, projector = "role", projectorRole
		stream = eventsourcing.StreamID{Category: role.Category, ID: clientID(uint64(c.random.IntN(groups)), "role")} //nolint:gosec // small
	}
	c.ledger.mu.Lock()
	least := c.ledger.told[stream]
	c.ledger.mu.Unlock()
	path := fmt.Sprintf("/%ss/%s?min_version=%d&wait=%ds", kind, stream.ID, least, c.random.IntN(9))
	replicas := c.of(projector)
	status, answer := c.exchange(replicas[c.random.IntN(len(replicas))], http.MethodGet, c.mutant.path(path), "", nil)
	if status != http.StatusOK && status != http.StatusNotFound {
		return
	}
	r := read{stream: stream, least: least, status: status, at: time.Now()} //nolint:forbidigo // virtual
	if json.Unmarshal(answer, &r.view) != nil {
		return
	}
	c.ledger.mu.Lock()
	c.ledger.reads = append(c.ledger.reads, r)
	c.ledger.mu.Unlock()
}
