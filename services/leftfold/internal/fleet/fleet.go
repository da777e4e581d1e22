// Package fleet runs every service and the embedded AWS as processes of their own, with one address before their APIs.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/retry"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/telemetry"
	"github.com/leftfold/leftfold/services/leftfold/app"
	"github.com/leftfold/leftfold/services/leftfold/internal/demo"
	"github.com/leftfold/leftfold/services/leftfold/internal/edge"
)

// Options say what is run and who sees it.
type Options struct {
	// Leftfold is the path of this program; those of the services lie beside it.
	Leftfold string
	// Without are the services that are not started: a debugger has their addresses.
	Without []string
	// Out gets a line once all are ready.
	Out io.Writer
	// Logs gets the output of all processes, each line after the name of its process.
	Logs io.Writer
	// Colour gives each name a colour of its own.
	Colour bool
}

// Fleet is the whole system, ready to run.
type Fleet struct {
	APIAddr, AWSAddr string
	Services         []Service

	platform service.Platform
	parts    []service.Part
	grace    time.Duration
}

// Service is one of them and its own addresses. API is "" if it has none.
type Service struct{ Name, API, Admin string }

// killAfter is how much longer than STOP_TIMEOUT a process may take to stop.
const killAfter = 5 * time.Second

// New finds all programs and addresses, or says what is missing. The APIs' one address is that of API_ADDR; the services have the
// ports after it, and for their admin addresses ADMIN_ADDR and the ports after it.
func New(ctx context.Context, cfg app.Config, lookup service.Lookup, o Options) (*Fleet, error) {
	if !cfg.BeginsEmpty() {
		cfg.Seed = 0
	}
	platform, _, err := service.NewPlatform(cfg.Config, o.Logs)
	if err != nil {
		return nil, err
	}
	platform.Logger = platform.Logger.With(slog.String(telemetry.KeyService, "leftfold"))
	f := &Fleet{platform: platform, grace: 2*(cfg.StopTimeout+killAfter) + time.Second} // the services, then their AWS
	all, withAPI := serviceNames(cfg)
	paths, err := o.findPrograms(all)
	if err != nil {
		return nil, err
	}
	if err := f.chooseAddresses(ctx, cfg, all, withAPI); err != nil {
		return nil, err
	}
	if f.parts, err = f.newEdge(ctx, cfg); err != nil {
		return nil, err
	}

	environment := environment(lookup, f.AWSAddr, cfg.Region)
	child := func(name string, args []string, variables ...string) program {
		logs := o.output(f.Services, name)
		return program{args: args, env: slices.Concat(environment, variables), out: logs, logs: logs, grace: cfg.StopTimeout + killAfter}
	}
	aws := child("aws", []string{o.Leftfold, "aws"}, "AWS_ADDR="+f.AWSAddr)
	aws.out = nil // its banner
	f.parts = append(f.parts, service.Part{Name: "aws", Run: aws.run, Last: true})
	awsReady := make(chan struct{})
	for _, s := range f.Services {
		if path, ok := paths[s.Name]; ok {
			p := child(s.Name, []string{path}, append(f.peers(s.Name), "API_ADDR="+s.API, "ADMIN_ADDR="+s.Admin)...)
			f.parts = append(f.parts, service.Part{Name: s.Name, Run: p.after(awsReady)})
		}
	}
	if cfg.Archive.Archive != "" {
		p := child("archive", []string{o.Leftfold, "archive", "write"}, "ADMIN_ADDR=127.0.0.1:0")
		p.out = nil // its banner
		f.parts = append(f.parts, service.Part{Name: "archive", Run: p.after(awsReady)})
	}
	f.parts = append(f.parts, service.Part{Name: "start", Run: func(ctx context.Context) error {
		return f.start(ctx, awsReady, o, cfg.Seed)
	}})
	return f, nil
}

// Run runs everything until ctx ends or a process does. The services are stopped first, then their AWS.
func (f *Fleet) Run(ctx context.Context) error { return f.platform.Run(ctx, f.grace, f.parts...) }

// serviceNames are all services, in the order in which an event passes them, and those that clients reach. The console is before the
// projectors, so that one more of these changes no other's ports.
func serviceNames(cfg app.Config) (all, withAPI []string) {
	for _, s := range cfg.All() {
		all = append(all, s.Name)
	}
	withConsole := func(names []string) []string {
		return slices.Insert(names, 1+slices.Index(names, topology.Processor), topology.Console)
	}
	return withConsole(all), withConsole(cfg.Names.APIs())
}

func (f *Fleet) chooseAddresses(ctx context.Context, cfg app.Config, all, withAPI []string) error {
	apis, err1 := available(ctx, service.Endpoint{Variable: "API_ADDR", Addr: cfg.CommandAPI.Addr}, 1+len(withAPI))
	admins, err2 := available(ctx, service.Endpoint{Variable: "ADMIN_ADDR", Addr: cfg.Admin.Addr}, len(all))
	aws, err3 := available(ctx, service.Endpoint{Variable: "AWS_ADDR", Addr: cfg.AWSAddr}, 1)
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	f.APIAddr, f.AWSAddr = apis[0], aws[0]
	for i, name := range all {
		s := Service{Name: name, Admin: admins[i]}
		if n := slices.Index(withAPI, name); n >= 0 {
			s.API = apis[1+n]
		}
		f.Services = append(f.Services, s)
	}
	return nil
}

// findPrograms returns the paths of the services to start, by name.
func (o Options) findPrograms(services []string) (map[string]string, error) {
	for _, name := range o.Without {
		if !slices.Contains(services, name) {
			return nil, fmt.Errorf("--without %s: no service has this name", name)
		}
	}
	dir := filepath.Dir(o.Leftfold)
	paths, missing := map[string]string{}, []string{}
	for _, name := range services {
		if slices.Contains(o.Without, name) {
			continue
		}
		path, err := exec.LookPath(filepath.Join(dir, name)) // which adds .exe on Windows
		if err != nil {
			missing = append(missing, name)
		}
		paths[name] = path
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("no programs %s in %s; make services builds them there, beside leftfold", strings.Join(missing, ", "), dir)
	}
	return paths, nil
}

// peers returns the variables that name the others to a service. Their own addresses have no certificate.
func (f *Fleet) peers(to string) []string {
	variables := map[string]string{topology.CommandAPI: "COMMAND_API_URL", "projector-role": "ROLES_URL"}
	var env, admins []string
	for _, s := range f.Services {
		if variable, named := variables[s.Name]; named {
			env = append(env, variable+"=http://"+s.API)
		}
		if s.Name != topology.Console {
			admins = append(admins, "http://"+s.Admin)
		}
	}
	if to == topology.Console {
		env = append(env, "API_URL=http://"+f.APIAddr, "ADMIN_URLS="+strings.Join(admins, ","))
	}
	return env
}

// newEdge takes the address of all APIs.
func (f *Fleet) newEdge(ctx context.Context, cfg app.Config) ([]service.Part, error) {
	apis := map[string]string{}
	for _, s := range f.Services {
		apis[s.Name] = s.API
	}
	e := service.Endpoint{
		Name: "api", Variable: "API_ADDR", Addr: f.APIAddr, HTTP: cfg.CommandAPI.HTTP,
		Handler: edge.New(topology.ServiceFor, apis, f.platform.Logger),
	}
	e.HTTP.WriteTimeout += 10 * time.Second // a service says itself that its work took too long
	parts, _, err := service.Listen(ctx, f.platform.Logger, e)
	return parts, err
}

// sharing divides the machine's cores: a process runs Go on one in sharing of them, because all have to share them. Threads that look
// for work where there is none for them cost a service an eighth of its CPU (docs/benchmarks.md).
const sharing = 2

// environment returns that of all processes: this one's, with the defaults of the leftfold program, and its own AWS. Nothing else
// of AWS is passed on, so that no process reaches another one. The APIs' one address has the certificate, if there is one.
func environment(lookup service.Lookup, awsAddr, region string) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "AWS_") })
	for _, v := range service.Variables(&app.Config{}) {
		if value, ok := lookup(v.Name); ok {
			env = append(env, v.Name+"="+value)
		}
	}
	if os.Getenv("GOMAXPROCS") == "" {
		env = append(env, "GOMAXPROCS="+strconv.Itoa(max(1, runtime.GOMAXPROCS(0)/sharing)))
	}
	return append(env,
		"AWS_ENDPOINT_URL=http://"+awsAddr, "AWS_REGION="+region, "AWS_ACCESS_KEY_ID=local", "AWS_SECRET_ACCESS_KEY=local",
		"TLS_CERT_FILE=", "TLS_KEY_FILE=", "TRUSTED_PROXIES=127.0.0.0/8,::1/128")
}

// start waits until all are ready, says so, and adds the first users.
func (f *Fleet) start(ctx context.Context, awsReady chan<- struct{}, o Options, seed int) error {
	began := f.platform.Now()
	if !f.await(ctx, "aws", f.AWSAddr, "/_localaws/calls") {
		return nil
	}
	close(awsReady)
	for _, s := range f.Services {
		if !slices.Contains(o.Without, s.Name) && !f.await(ctx, s.Name, s.Admin, "/readyz") {
			return nil
		}
	}
	_, _ = fmt.Fprintf(o.Out, "All ready after %s: http://%s\n", f.platform.Now().Sub(began).Round(100*time.Millisecond), f.APIAddr)
	if seed > 0 {
		if err := demo.Seed(ctx, "http://"+f.APIAddr, nil, seed); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return nil
}

// await returns true once the address answers, and false if ctx ends before.
func (f *Fleet) await(ctx context.Context, name, addr, path string) bool {
	const every, sayEvery = 50 * time.Millisecond, 200
	for asked := 1; ; asked++ {
		err := service.AskAt(ctx, addr, path)
		if err == nil {
			return true
		}
		if asked%sayEvery == 0 {
			f.platform.Logger.WarnContext(ctx, "not ready yet", slog.String("process", name), slog.Any(telemetry.KeyError, err))
		}
		if retry.Sleep(ctx, every) != nil {
			return false
		}
	}
}
