package cases

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/retry"
	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/pkg/service/auth/devissuer"
	"github.com/leftfold/leftfold/test/bench/load"
	"github.com/leftfold/leftfold/test/bench/measure"
	"github.com/leftfold/leftfold/test/bench/report"
)

// setting is a way to send and to take a command.
type setting struct {
	name   string
	plan   plan
	header func() http.Header
	sys    *system

	rate, cpu measure.Sample
}

// settings registers users in turn on systems of different settings. Only command-api runs.
func settings(ctx context.Context, b Bench) (section report.Section, err error) {
	var closing []func() error
	defer func() {
		for _, each := range closing {
			err = errors.Join(err, each())
		}
	}()
	all, err := theSettings(ctx, &closing)
	if err != nil {
		return section, err
	}
	for _, s := range all {
		s.plan.services = []string{topology.CommandAPI}
		if s.sys, err = b.start(ctx, s.plan); err != nil {
			return section, err
		}
		closing = append([]func() error{s.sys.Close}, closing...)
		if err := s.accepted(ctx); err != nil {
			return section, err
		}
	}
	err = b.rounds("settings", func(round int) error {
		for _, s := range all {
			if err := s.measure(ctx, b, round); err != nil {
				return err
			}
		}
		return nil
	})
	t := report.Table{Columns: []string{"registrations", "a second", "of the plain rate", "CPU, µs each", "of the plain CPU"}}
	for _, s := range all {
		t.Add(s.name, s.rate, s.rate.Over(all[0].rate), s.cpu, s.cpu.Over(all[0].cpu))
	}
	return report.Section{
		Case: "settings", Title: "What settings cost a command",
		Text: "Each setting has a command-api and an embedded AWS of its own; all wait while one is measured. An Idempotency-Key is one more " +
			"item in the transaction; traces go to a collector that forgets them, all of them or every hundredth.",
		Tables: []report.Table{t},
	}, err
}

// theSettings are those to compare, the plain one first. What they need is closed by the functions added to closing.
func theSettings(ctx context.Context, closing *[]func() error) ([]*setting, error) {
	none := func() http.Header { return nil }
	token, issuing, err := issuer(ctx, closing)
	if err != nil {
		return nil, err
	}
	forget := func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }
	collector, err := serve(ctx, http.HandlerFunc(forget), closing)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "leftfold-bench")
	if err != nil {
		return nil, err
	}
	*closing = append(*closing, func() error { return os.RemoveAll(dir) })
	traced := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": collector}
	hundredth := map[string]string{"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.01"}
	maps.Copy(hundredth, traced)
	return []*setting{
		{name: "plain", header: none},
		{name: "with an Idempotency-Key", header: func() http.Header { return http.Header{"Idempotency-Key": {newID()}} }},
		{name: "with a token", plan: plan{env: issuing}, header: func() http.Header { return http.Header{"Authorization": {"Bearer " + token}} }},
		{name: "every hundredth traced", plan: plan{env: hundredth}, header: none},
		{name: "traced", plan: plan{env: traced}, header: none},
		{name: "on an AWS that keeps its state in a directory", plan: plan{aws: map[string]string{"DATA_DIR": dir}}, header: none},
	}, nil
}

// issuer starts an issuer and returns a token and the settings of who trusts it.
func issuer(ctx context.Context, closing *[]func() error) (token string, env map[string]string, err error) {
	handler := new(later)
	url, err := serve(ctx, handler, closing)
	if err != nil {
		return "", nil, err
	}
	i, err := devissuer.New(devissuer.Config{Environment: auth.Local, URL: url, Audience: "leftfold", TokenLife: 24 * time.Hour}, time.Now)
	if err != nil {
		return "", nil, err
	}
	handler.Handler = i
	token, err = i.Token("bench", "users:write", nil)
	return token, map[string]string{"AUTH_MODE": "oidc", "OIDC_ISSUER": url, "OIDC_AUDIENCE": "leftfold"}, err
}

// later is a handler that is set before the first request.
type later struct{ http.Handler }

// serve serves on a free port and returns its URL.
func serve(ctx context.Context, handler http.Handler, closing *[]func() error) (url string, err error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }() // until it is closed
	*closing = append(*closing, server.Close)
	return "http://" + l.Addr().String(), nil
}

// accepted waits until a command is accepted: a token is once the issuer's keys are there.
func (s *setting) accepted(ctx context.Context) error {
	for tries := 0; ; tries++ {
		err := s.register(ctx, 0)
		if err == nil || tries == 500 {
			return err
		}
		if err := retry.Sleep(ctx, look); err != nil {
			return err
		}
	}
}

func (s *setting) register(ctx context.Context, _ int) error {
	c := register(newID())
	c.header = s.header()
	_, err := s.sys.send(ctx, c)
	return err
}

func (s *setting) measure(ctx context.Context, b Bench, round int) error {
	before, err := s.sys.effort(ctx, topology.CommandAPI)
	if err != nil {
		return err
	}
	took, err := load.Flat(ctx, clients, b.Size.Commands, s.register)
	if err != nil {
		return err
	}
	after, err := s.sys.effort(ctx, topology.CommandAPI)
	if err != nil || round == untilWarm {
		return err
	}
	n := float64(b.Size.Commands)
	s.rate = append(s.rate, n/took.Seconds())
	s.cpu = append(s.cpu, float64(after.Since(before).CPU.Microseconds())/n)
	return nil
}
