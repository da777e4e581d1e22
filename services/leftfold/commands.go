package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leftfold/leftfold/pkg/iam/provision"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/awsconfig"
	"github.com/leftfold/leftfold/services/leftfold/app"
	"github.com/leftfold/leftfold/services/leftfold/internal/demo"
)

const about = `Leftfold runs every service and an embedded AWS in one process until Ctrl-C.

Environment variables configure it: the help of each command lists those that
the command reads. Exit codes: 0 success, 1 failure or (with -health, -ready)
no. The help of each operators' command lists its own.`

const aboutServices = `Run every service, from the programs beside this one, and an embedded AWS as
processes of their own until Ctrl-C. If one of them ends by itself, the others
are stopped.

API_ADDR is one address for all APIs; those of the services have the ports after
it. ADMIN_ADDR is that of the first service; the others have the ports after it.
A service that is left out is expected at its addresses, which are printed.`

// The groups of commands in the help.
const (
	toRun     = "run"
	toOperate = "operate"
	toKnow    = "know"
)

// newRoot returns the program's command line. Results go to out; logs and progress go to logs.
func newRoot(out, logs io.Writer) *cobra.Command {
	local := app.Lookup(os.LookupEnv)
	con := newConsole(out, logs)
	dataDir := ""
	flags := settings{"DATA_DIR": &dataDir}
	withDataDir := func(c *cobra.Command) *cobra.Command {
		c.Flags().StringVar(&dataDir, "data-dir", "", "instead of DATA_DIR")
		return c
	}
	runSystem := func(ctx context.Context) error { return run(ctx, flags.over(local), out, logs, app.New, banner) }
	root := &cobra.Command{
		Use: "leftfold", Short: "Run every service and an embedded AWS", Long: about, Args: noArguments,
		SilenceErrors: true, SilenceUsage: true,
		RunE: func(c *cobra.Command, _ []string) error { return runSystem(c.Context()) },
	}
	root.SetOut(out)
	root.SetErr(logs)
	root.SetFlagErrorFunc(unknownFlag)
	root.SetUsageFunc(in80Columns(root.UsageFunc()))
	withHealth(withDataDir(root), service.Ask)
	root.AddGroup(
		&cobra.Group{ID: toRun, Title: "To try it and to develop:"},
		&cobra.Group{ID: toOperate, Title: "To operate it:"},
		&cobra.Group{ID: toKnow, Title: "To know more:"},
	)
	root.SetHelpCommandGroupID(toKnow)
	root.SetCompletionCommandGroupID(toKnow)

	embedded := command(toRun, "aws", "Run the embedded AWS alone, for services that run one by one",
		func(ctx context.Context) error { return run(ctx, flags.over(local), out, logs, app.NewAWS, awsBanner) })
	flags["AWS_REGION"] = embedded.Flags().String("region", "", "instead of AWS_REGION")
	embedded.AddCommand(newSnapshot(flags.over(local), out, withDataDir))
	withHealth(withDataDir(embedded), func(ctx context.Context, _ string) error {
		var cfg app.AWSConfig
		if err := service.LoadConfig(local, &cfg); err != nil {
			return err
		}
		return service.AskAt(ctx, cfg.AWSAddr, "/_localaws/calls")
	})
	var without []string
	services := command(toRun, "services", "Run every service and an embedded AWS as processes, with one API",
		func(ctx context.Context) error { return runServices(ctx, flags.over(local), without, out, os.Stderr) })
	services.Long = aboutServices
	services.Flags().StringSliceVar(&without, "without", nil, "services to leave out, which you start yourself")
	root.AddCommand(
		withVariables(withDataDir(newRun(con, flags.over(local), runSystem)), localVariables(&app.Config{})...),
		withVariables(command(toRun, "demo", "Play a story through the pipeline, show each hop, and end",
			func(ctx context.Context) error { return runDemo(ctx, local, os.Stdout, logs) }),
			localVariables(&demo.Config{}, &app.Config{})...),
		withVariables(embedded, localVariables(&app.AWSConfig{})...),
		withVariables(withDataDir(services), localVariables(&app.Config{})...),
		withVariables(command(toRun, "issuer", "Give every token to everyone, only where ENVIRONMENT=local is set",
			func(ctx context.Context) error { return runIssuer(ctx, out, logs) }),
			service.Variables(&app.IssuerConfig{})...), // it does not assume ENVIRONMENT=local
		withVariables(command(toOperate, "provision", "Create tables, stream and queues in the AWS of the environment", provisionAWS),
			slices.Concat(service.Variables(&provisionConfig{}), service.AWSVariables())...),
		newNew(out, logs),
		newProjections(con), newParked(con), newProcesses(con), newEvents(con), newAudit(con), newClaims(con), newScopes(con), newLeases(con),
		newSetAside(con), newArchive(con), newRestore(con), newCapacity(con),
		command(toKnow, "config", "Check and print the configuration of run and demo, secrets masked",
			func(context.Context) error { return service.WriteConfig(out, local, &app.Config{}, &demo.Config{}) }),
		command(toKnow, "version", "Print the release",
			func(context.Context) error { return service.WriteVersion(out, "leftfold") }),
	)
	return root
}

// in80Columns shortens cobra's text. Its template of the same would keep the linker from leaving out what no code of leftfold calls:
// megabytes.
func in80Columns(usage func(*cobra.Command) error) func(*cobra.Command) error {
	return func(c *cobra.Command) error {
		var text strings.Builder
		out := c.OutOrStderr()
		c.SetOut(&text)
		err := usage(c)
		c.SetOut(out)
		_, _ = io.WriteString(out, strings.Replace(text.String(), "for more information about a command", "for more", 1)) // as for the variables
		return err
	}
}

// settings are the variables that flags of a command set, with the flags' values. An unset flag has "".
type settings map[string]*string

// over returns lookup with the flags before it.
func (s settings) over(lookup service.Lookup) service.Lookup {
	return func(name string) (string, bool) {
		if flag := s[name]; flag != nil && *flag != "" {
			return *flag, true
		}
		return lookup(name)
	}
}

// command returns a command without arguments.
func command(group, name, short string, do func(context.Context) error) *cobra.Command {
	return &cobra.Command{
		GroupID: group, Use: name, Short: short, Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return do(c.Context()) },
	}
}

// noArguments names the command that was probably meant.
func noArguments(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := service.UnknownArguments(c.CommandPath(), args)
	if c.SuggestionsMinimumDistance = 2; len(c.SuggestionsFor(args[0])) > 0 {
		err = fmt.Errorf("%w; did you mean %s %s?", err, c.CommandPath(), c.SuggestionsFor(args[0])[0])
	}
	return err
}

func unknownFlag(c *cobra.Command, err error) error {
	return fmt.Errorf("%w; %s --help lists what there is", err, c.CommandPath())
}

// withVariables adds variables to a command's help.
func withVariables(c *cobra.Command, variables ...service.Variable) *cobra.Command {
	help := c.HelpFunc()
	c.SetHelpFunc(func(c *cobra.Command, args []string) {
		help(c, args)
		_, _ = fmt.Fprintln(c.OutOrStdout())
		_ = service.WriteVariables(c.OutOrStdout(), variables) // a reader that went away needs no help
	})
	return c
}

// localVariables are those of configuration structs, with the defaults of app.Lookup.
func localVariables(configs ...any) []service.Variable {
	own, variables := app.Lookup(service.Fixed(nil)), service.Variables(configs...)
	for i := range variables {
		if value, ok := own(variables[i].Name); ok {
			variables[i].Default = value
		}
	}
	return variables
}

// withHealth adds the flags of a container's health checks.
func withHealth(c *cobra.Command, ask func(ctx context.Context, path string) error) {
	health := c.Flags().Bool("health", false, "ask the process that runs here whether its loops turn")
	ready := c.Flags().Bool("ready", false, "ask it whether it may get requests")
	run := c.RunE
	c.RunE = func(c *cobra.Command, args []string) error {
		switch {
		case *health:
			return ask(c.Context(), "/healthz")
		case *ready:
			return ask(c.Context(), "/readyz")
		default:
			return run(c, args)
		}
	}
}

// provisionConfig is the configuration of leftfold provision.
type provisionConfig struct {
	Names    topology.Names
	_        struct{}      `group:"Provisioning"`
	Patience time.Duration `envconfig:"PROVISION_PATIENCE" default:"1m" desc:"how long leftfold provision waits for an AWS that does not answer"`
}

// Validate is called by service.LoadConfig.
func (c *provisionConfig) Validate() error {
	if c.Patience <= 0 {
		return fmt.Errorf("PROVISION_PATIENCE=%s: want more than 0", c.Patience)
	}
	return nil
}

func provisionAWS(ctx context.Context) error {
	var cfg provisionConfig
	if err := service.LoadConfig(os.LookupEnv, &cfg); err != nil {
		return err
	}
	target, err := awsconfig.Load(ctx)
	if err != nil {
		return err
	}
	return provision.Run(ctx, target, provision.Config{Names: cfg.Names, Patience: cfg.Patience})
}
