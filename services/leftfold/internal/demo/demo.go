package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/oracle"
	"github.com/leftfold/leftfold/services/leftfold/internal/amount"
)

// Config says what is played, where and how fast.
type Config struct {
	_     struct{} `group:"Demo"`
	Users int      `envconfig:"DEMO_USERS" default:"1000" desc:"users in the demo's story, 1 to 1,000,000"`
	Rate  float64  `envconfig:"DEMO_RATE" default:"0" desc:"commands a second in the demo; 0: as fast as it goes"`
	API   string   `envconfig:"DEMO_API" desc:"system that the demo plays on: its URL, with its AWS in the AWS_ variables; alone: its own; unset: the one at API_ADDR, or else its own"`
	Token string   `envconfig:"DEMO_TOKEN" secret:"true" desc:"bearer token of the demo's requests, where the running system needs one"`
}

// MaxUsers bounds a story.
const MaxUsers = 1_000_000

// Validate is called by service.LoadConfig.
func (c *Config) Validate() error {
	var errs []error
	if c.Users < 1 || c.Users > MaxUsers {
		errs = append(errs, fmt.Errorf("DEMO_USERS=%d: want 1 to %s", c.Users, amount.Digits(MaxUsers)))
	}
	if c.Rate < 0 {
		errs = append(errs, fmt.Errorf("DEMO_RATE=%g: want 0 or more", c.Rate))
	}
	if c.API != "" && c.API != Alone && !strings.HasPrefix(c.API, "http://") && !strings.HasPrefix(c.API, "https://") {
		errs = append(errs, fmt.Errorf("DEMO_API=%s: want a URL or %s", c.API, Alone))
	}
	return errors.Join(errs...)
}

// Alone is the Config.API of a demo that plays on a system of its own.
const Alone = "alone"

// Stage is the running system that the story is played on.
type Stage struct {
	API      string          // its URL, such as http://127.0.0.1:8080
	Network  *http.Transport // for requests to the API; nil: a usual one
	Admins   []string        // URLs of its admin addresses, whose metrics say how long each hop took
	EventLog oracle.EventLog
	Models   []oracle.Model
	Now      func() time.Time
	Out      io.Writer
	// Terminal says that Out is one: then progress is drawn in place.
	Terminal bool
}

// ErrStopped is returned by Play if ctx ended before the story did.
var ErrStopped = errors.New("the demo was stopped")

// Play plays the story and reports. The error says which promise did not hold.
func Play(ctx context.Context, c Config, stage Stage) error {
	s := newStory(c, stage.API, stage.Network)
	s.edition = strings.ToLower(lettersOnly(rand.Text()))[:6]
	defer s.client.CloseIdleConnections()
	stage.line("A story of %s and %s, played by %d clients,\nat %s.\n",
		amount.Of(c.Users, "user"), amount.Of(len(roleNames()), "role"), clients, stage.API)
	err := stage.play(ctx, s)
	if err != nil && ctx.Err() != nil {
		stage.line("Stopped after %s of %s.", amount.Digits(s.done.Load()), amount.Of(s.commands(), "command"))
		return ErrStopped
	}
	return err
}

// Seed sends the commands of a story with so many users, so that a new system has some. The network is as in Stage.
func Seed(ctx context.Context, api string, network *http.Transport, users int) error {
	s := newStory(Config{Users: users}, api, network)
	defer s.client.CloseIdleConnections()
	return s.seed(ctx)
}

func newStory(c Config, api string, network *http.Transport) *story {
	pace := rate.NewLimiter(rate.Inf, 1)
	if c.Rate > 0 {
		pace.SetLimit(rate.Limit(c.Rate))
	}
	if network == nil {
		network = &http.Transport{Proxy: http.ProxyFromEnvironment}
	}
	network.MaxIdleConnsPerHost = clients + racers
	return &story{
		base: strings.TrimSuffix(api, "/"), users: c.Users, pace: pace,
		client: &http.Client{Timeout: 2 * time.Minute, Transport: &patient{authorized: authorized{network, c.Token}}},
	}
}

// authorized adds a token, if there is one.
type authorized struct {
	*http.Transport
	token string
}

func (a authorized) RoundTrip(r *http.Request) (*http.Response, error) {
	if a.token != "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+a.token)
	}
	return a.Transport.RoundTrip(r)
}

func lettersOnly(text string) string {
	return strings.Map(func(r rune) rune {
		if r < 'A' || r > 'Z' {
			return 'A' + r%26
		}
		return r
	}, text)
}

// patience is more than a message waits after failures, which is up to two minutes.
const patience = 3 * time.Minute

func (s Stage) play(ctx context.Context, story *story) error {
	before := s.hops(ctx)
	started := s.Now()
	if err := s.progress(ctx, story); err != nil {
		return err
	}
	took := s.Now().Sub(started)

	fold, err := oracle.FoldLog(ctx, only{s.EventLog, story})
	if err != nil {
		return err
	}
	if err := fold.Settle(ctx, patience, s.Models...); err != nil {
		return err
	}
	settled := s.Now().Sub(started)
	shown, err := oracle.Show(ctx, story.client, story.base)
	if err != nil {
		return err
	}
	shown.Keep(story.has)
	trail, err := fold.Trail(ctx, story.client, story.base)
	if err != nil {
		return err
	}
	s.line("  commands   %s accepted, %s refused as they should be",
		amount.Digits(story.accepted.Load()), amount.Digits(story.refused.Load()))
	s.line("  pace       %s a second for %s", amount.Digits(int64(float64(story.commands())/took.Seconds())), took.Round(time.Millisecond))
	s.line("  race       %d clients wanted one address; %d got it", racers, story.winners.Load())
	s.line("  visible    the last event was in all read models after %s\n", (settled - took).Round(time.Millisecond))
	s.table(before, s.hops(ctx))
	breaches := slices.Concat(fold.Faults, oracle.Differences(fold.Expect(), shown), trail)
	if n := story.winners.Load(); n != 1 {
		breaches = append(breaches, fmt.Sprintf("the race for one address has %d winners", n))
	}
	if len(breaches) > 0 {
		return fmt.Errorf("the promises do not hold: %s", strings.Join(breaches, "\n"))
	}
	s.line("The read models equal the fold of the log:\n%s (the race's winner, too), %s, %s.",
		amount.Of(len(fold.Users), "user"), amount.Of(len(fold.Roles), "role"), amount.Of(fold.Events, "event"))
	return nil
}

// only yields the records of the story's users and roles: others may be there and change meanwhile.
type only struct {
	log   oracle.EventLog
	story *story
}

// All implements oracle.EventLog.
func (o only) All(ctx context.Context, segments int) iter.Seq2[eventsourcing.Record, error] {
	return func(yield func(eventsourcing.Record, error) bool) {
		for record, err := range o.log.All(ctx, segments) {
			if (err != nil || o.story.has(record.Stream.ID)) && !yield(record, err) {
				return
			}
		}
	}
}

func (s Stage) line(format string, args ...any) {
	_, _ = fmt.Fprintf(s.Out, format+"\n", args...) // there is no other place to report an error
}

const barWidth = 20

// progress plays the story and draws how far it is: in place on a terminal, ten lines in a pipe.
func (s Stage) progress(ctx context.Context, story *story) error {
	ended := make(chan error, 1)
	go func() { ended <- story.play(ctx) }()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	started, total, said := s.Now(), story.commands(), int64(0)
	draw := func() {
		done := story.done.Load()
		if s.Terminal {
			_, _ = fmt.Fprintf(s.Out, "\r%s\x1b[K", progressLine(done, total, s.Now().Sub(started)))
		} else if tenth := done * 10 / total; tenth > said {
			said = tenth
			s.line("  %3d%%  %s of %s", tenth*10, amount.Digits(done), amount.Of(total, "command"))
		}
	}
	for {
		select {
		case <-tick.C:
			draw()
		case err := <-ended:
			draw()
			if s.Terminal {
				s.line("")
			}
			s.line("")
			return err
		}
	}
}

// progressLine says how far the story is and how long the remaining commands take at this pace.
func progressLine(done, total int64, took time.Duration) string {
	full := int(done * barWidth / total)
	line := fmt.Sprintf("  %s%s %3d%%  %s of %s", strings.Repeat("█", full), strings.Repeat("░", barWidth-full),
		done*100/total, amount.Digits(done), amount.Digits(total))
	if done == 0 || took <= 0 {
		return line
	}
	left := time.Duration(float64(took) / float64(done) * float64(total-done)).Round(time.Second)
	return line + fmt.Sprintf(", %s/s, %s left", amount.Digits(int64(float64(done)/took.Seconds())), left)
}
