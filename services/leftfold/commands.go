package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/leftfold/leftfold/pkg/iam/provision"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/awsconfig"
	"github.com/leftfold/leftfold/services/leftfold/app"
	"github.com/leftfold/leftfold/services/leftfold/internal/demo"
)

const about = `Leftfold runs every service and an embedded AWS in one process until Ctrl-C.

Environment variables configure it: the help of each command lists those that the command reads.
Exit codes: 0 success, 1 failure or (with -health) not ready. The help of "claims audit" lists its own.`

// newRoot returns the program's command line. Results go to out; logs and progress go to logs.
func newRoot(out, logs io.Writer) *cobra.Command {
	lookup := app.Lookup(os.LookupEnv)
	runSystem := func(ctx context.Context) error { return run(ctx, lookup, out, logs, app.New, banner) }
	root := &cobra.Command{
		Use: "leftfold", Short: "Run every service and an embedded AWS", Long: about, Args: cobra.NoArgs,
		SilenceErrors: true, SilenceUsage: true,
		RunE: func(c *cobra.Command, _ []string) error { return runSystem(c.Context()) },
	}
	root.SetOut(out)
	root.SetErr(logs)
	withHealth(root, service.Ask)

	embedded := command("aws", "Run the embedded AWS alone, provisioned, for services that run one by one",
		func(ctx context.Context) error { return run(ctx, lookup, out, logs, app.NewAWS, awsBanner) }, &app.AWSConfig{})
	withHealth(embedded, func(ctx context.Context) error {
		var cfg app.AWSConfig
		if err := service.LoadConfig(lookup, &cfg); err != nil {
			return err
		}
		return service.AskAt(ctx, cfg.AWSAddr, "/_localaws/calls")
	})
	root.AddCommand(
		command("run", "Run every service and an embedded AWS until Ctrl-C, as without a command", runSystem, &app.Config{}),
		command("demo", "Play a story through the pipeline, show each hop, and end",
			func(ctx context.Context) error { return runDemo(ctx, lookup, logs) }, &app.Config{}, &demo.Config{}),
		embedded,
		command("provision", "Create tables, stream and queues in the AWS that AWS_ENDPOINT_URL and the like name, and end",
			func(ctx context.Context) error { return provisionAWS(ctx, lookup) }, &topology.Names{}),
		command("issuer", "Run an issuer that gives every token to everyone, where ENVIRONMENT=local is set",
			func(ctx context.Context) error { return runIssuer(ctx, out, logs) }, &app.IssuerConfig{}),
		command("config", "Check and print the configuration of run and demo, secrets masked",
			func(context.Context) error { return service.WriteConfig(out, lookup, &app.Config{}, &demo.Config{}) },
			&app.Config{}, &demo.Config{}),
		newClaims(out, logs),
	)
	return root
}

// command returns a command without arguments, whose help lists the variables of its configuration structs.
func command(name, short string, do func(context.Context) error, configs ...any) *cobra.Command {
	c := &cobra.Command{
		Use: name, Short: short, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return do(c.Context()) },
	}
	listVariables(c, app.Lookup(service.Fixed(nil)), configs...)
	return c
}

// listVariables adds variables to a command's help. Where own sets one, that is its default here.
func listVariables(c *cobra.Command, own service.Lookup, configs ...any) {
	help := c.HelpFunc()
	c.SetHelpFunc(func(c *cobra.Command, args []string) {
		help(c, args)
		variables := service.Variables(configs...)
		for i := range variables {
			if value, ok := own(variables[i].Name); ok {
				variables[i].Default = value
			}
		}
		_, _ = fmt.Fprintln(c.OutOrStdout())
		_ = service.WriteVariables(c.OutOrStdout(), variables) // a reader that went away needs no help
	})
}

// withHealth adds the flag of a container's health check.
func withHealth(c *cobra.Command, ask func(context.Context) error) {
	health := c.Flags().Bool("health", false, "ask the process that runs here whether it is ready (-health too)")
	run := c.RunE
	c.RunE = func(c *cobra.Command, args []string) error {
		if *health {
			return ask(c.Context())
		}
		return run(c, args)
	}
}

func provisionAWS(ctx context.Context, lookup service.Lookup) error {
	var names topology.Names
	if err := service.LoadConfig(lookup, &names); err != nil {
		return err
	}
	target, err := awsconfig.Load(ctx)
	if err != nil {
		return err
	}
	return provision.Run(ctx, target, provision.Config{Names: names})
}
