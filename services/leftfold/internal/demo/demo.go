package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/iam/oracle"
)

// Config is the size and the speed of the story.
type Config struct {
	Users int     `envconfig:"DEMO_USERS" default:"1000" desc:"users in the story of make demo"`
	Rate  float64 `envconfig:"DEMO_RATE" default:"0" desc:"commands a second in make demo; 0: as fast as it goes"`
}

// Validate is called by service.LoadConfig.
func (c *Config) Validate() error {
	var errs []error
	if c.Users < 1 || c.Users > 1_000_000 {
		errs = append(errs, fmt.Errorf("DEMO_USERS: %d is not in 1 to 1000000", c.Users))
	}
	if c.Rate < 0 {
		errs = append(errs, fmt.Errorf("DEMO_RATE: %g is negative", c.Rate))
	}
	return errors.Join(errs...)
}

// Stage is the running system that the story is played on.
type Stage struct {
	Base     string // of the API, such as http://127.0.0.1:8080
	Log      oracle.EventLog
	Models   []projection.Reader
	Registry prometheus.Gatherer
	Now      func() time.Time
	Out      io.Writer
	// Terminal says that Out is one: then progress is drawn in place.
	Terminal bool
}

// Play plays the story and reports. The error says which promise did not hold.
func Play(ctx context.Context, c Config, stage Stage) error {
	s := &story{
		base: stage.Base, users: c.Users, pace: newPace(c.Rate, stage.Now),
		client: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: clients + racers}},
	}
	defer s.client.CloseIdleConnections()
	r := &report{out: stage.Out, terminal: stage.Terminal}
	started := stage.Now()
	r.line("A story of %s users and %d roles, played by %d clients.", thousands(int64(c.Users)), len(roleNames()), clients)
	r.line("")
	if err := r.progress(ctx, s, stage.Now); err != nil {
		return err
	}
	took := stage.Now().Sub(started)

	fold, err := oracle.FoldLog(ctx, stage.Log)
	if err != nil {
		return err
	}
	if err := fold.Settle(ctx, time.Minute, stage.Models...); err != nil {
		return err
	}
	settled := stage.Now().Sub(started)
	shown, err := oracle.Show(ctx, s.client, stage.Base)
	if err != nil {
		return err
	}
	r.line("  commands   %s accepted, %s refused as they should be, in %s: %s a second",
		thousands(s.accepted.Load()), thousands(s.refused.Load()), took.Round(time.Millisecond),
		thousands(int64(float64(s.commands())/took.Seconds())))
	r.line("  race       %d clients wanted one address; %d got it", racers, s.winners.Load())
	r.line("  visible    the last event stood in both read models %s after the last command", (settled - took).Round(time.Millisecond))
	r.line("")
	if err := r.hops(stage.Registry); err != nil {
		return err
	}
	r.line("")
	return r.verdict(fold, s, oracle.Differences(fold.Expect(), shown))
}
