package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"
	"github.com/spf13/cobra"

	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/adminclient"
	"github.com/leftfold/leftfold/pkg/service/awsconfig"
	"github.com/leftfold/leftfold/services/leftfold/app"
	"github.com/leftfold/leftfold/services/leftfold/internal/fleet"
	"github.com/leftfold/leftfold/services/leftfold/internal/output"
)

// Exit codes of operators' commands beside 0, as diff(1) has them.
const (
	differs = 1 // something is not as it should be
	trouble = 2 // nothing is proved or known
)

// outcome is the error of a command with an exit code of its own. Its text may be empty: all is said already.
type outcome struct {
	code int
	text string
}

func (e outcome) Error() string { return e.text }

// ExitCode is used by service.Exit.
func (e outcome) ExitCode() int { return e.code }

// console is where operators' commands print, and how: flags that they share set it.
type console struct {
	out    *output.Results
	logs   io.Writer // progress and what a person should know besides
	format output.Format
	admins []string
}

func newConsole(out, logs io.Writer) *console {
	return &console{out: output.NewResults(out, output.Terminal(out)), logs: logs, format: output.Table}
}

// printer returns the printer of a table with these columns.
func (con *console) printer(columns ...output.Column) *output.Printer {
	return output.New(con.out, con.format, columns...)
}

// say tells a person, beside the results, what they do not: that there are none, or what can be done about them.
func (con *console) say(format string, values ...any) {
	_, _ = fmt.Fprintf(con.logs, format+"\n", values...)
}

func (con *console) progress() *output.Progress {
	return output.NewProgress(con.logs, output.Terminal(con.logs), time.Now) //nolint:forbidigo // for a person who waits
}

// withOutput gives a command, and those below it, the flag for what it prints.
func (con *console) withOutput(c *cobra.Command) *cobra.Command {
	c.PersistentFlags().Var(&con.format, "output", "table or json")
	return c
}

// withAdmins gives a command, and those below it, the flag for the services it asks.
func (con *console) withAdmins(c *cobra.Command) *cobra.Command {
	c.PersistentFlags().StringSliceVar(&con.admins, "admin", nil, "admin addresses, instead of ADMIN_URLS")
	return c
}

// services returns a client of the admin addresses that the flag, the variable or else the defaults name.
func (con *console) services(ctx context.Context) (*adminclient.Client, error) {
	var cfg adminclient.Config
	if err := service.LoadConfig(os.LookupEnv, &cfg); err != nil {
		return nil, err
	}
	if len(con.admins) > 0 {
		cfg.URLs = con.admins
		if err := cfg.Validate(); err != nil {
			return nil, err
		}
	}
	var local app.Config
	local.Admin = cfg.AdminConfig
	return adminclient.New(ctx, cfg, fleet.Admins(local))
}

// task is a command of operators without commands below it.
type task struct {
	use, short, long string
	args             cobra.PositionalArgs // defaults to noArguments
	variables        []service.Variable
	// stopped says what becomes of the work when a signal ends the command. Defaults to beginsAnew.
	stopped string
	// do returns whether something is not as it should be.
	do func(ctx context.Context, args []string) (wrong bool, err error)
}

// What a command says that a signal has ended.
const (
	beginsAnew = "stopped before its end; the same command begins anew"
	continues  = "stopped; nothing is lost, and the same command continues"
	goesOn     = "stopped; the service goes on, and the same command shows how far it is"
)

// command returns the command of a task. name begins the text of its errors.
func (con *console) command(name string, t task) *cobra.Command {
	failed := failure(name)
	c := &cobra.Command{Use: t.use, Short: t.short, Long: t.long, RunE: func(c *cobra.Command, args []string) error {
		check := t.args
		if check == nil {
			check = noArguments
		}
		if err := check(c, args); err != nil {
			return failed(err)
		}
		wrong, err := t.do(c.Context(), args)
		switch unwritten := con.out.Err(); {
		case unwritten != nil:
			return failed(fmt.Errorf("write the results: %w", unwritten))
		case err != nil && c.Context().Err() != nil: // what AWS and the services say of calls that were given up helps no one
			return failed(fmt.Errorf("%s: %s", cmp.Or(t.stopped, beginsAnew), strings.Join(append([]string{c.CommandPath()}, args...), " ")))
		case err != nil:
			return failed(err)
		case wrong:
			return outcome{code: differs}
		default:
			return nil
		}
	}}
	return withVariables(c, t.variables...)
}

// failure returns how a command of that name ends when it could not do its work.
func failure(name string) func(error) error {
	return func(err error) error { return outcome{trouble, fmt.Sprintf("%s: %v", name, advised(err))} }
}

// advised adds to an error of AWS what can be done, where that is not plain.
func advised(err error) error {
	if api, ok := errors.AsType[smithy.APIError](err); ok && api.ErrorCode() == "ResourceNotFoundException" {
		return fmt.Errorf("%w; AWS_ENDPOINT_URL, AWS_REGION and credentials say which AWS is asked, and variables such as TABLE_EVENT_LOG "+
			"for what: --help lists them", err)
	}
	return err
}

// usage returns a check of the arguments' number; wanted says what they are.
func usage(least, most int, wanted string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return fmt.Errorf("%s takes %s; %[1]s --help says more", c.CommandPath(), wanted)
		}
		return nil
	}
}

// group returns a command that only leads to others. A mistake on the command line, its own or that of one of them, ends as failed
// says.
func group(name, short string, failed func(error) error, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: name, Short: short,
		RunE: func(c *cobra.Command, args []string) error {
			if err := noArguments(c, args); err != nil {
				return failed(err)
			}
			return failed(fmt.Errorf("a command is missing; %s --help lists them", c.CommandPath()))
		},
	}
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return failed(unknownFlag(c, err)) })
	c.AddCommand(commands...)
	return c
}

// operatorsGroup returns a group of operators' commands.
func (con *console) operatorsGroup(name, short string, failed func(error) error, commands ...*cobra.Command) *cobra.Command {
	c := group(name, short, failed, commands...)
	c.GroupID = toOperate
	return con.withOutput(c)
}

// alone returns a command of operators that belongs to no group.
func (con *console) alone(c *cobra.Command, failed func(error) error) *cobra.Command {
	c.GroupID = toOperate
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return failed(unknownFlag(c, err)) })
	return con.withOutput(c)
}

// operatorsAWS returns the AWS of the environment.
func operatorsAWS(ctx context.Context) (aws.Config, error) {
	target, err := awsconfig.Load(ctx)
	if err != nil {
		return target, fmt.Errorf("%w; make run prints the variables by which its AWS is reached", err)
	}
	return target, nil
}

// names returns the names of all AWS resources.
func names() (n topology.Names, err error) {
	err = service.LoadConfig(os.LookupEnv, &n)
	return n, err
}

// account returns the AWS of the environment, and the names of what the system has in it.
func account(ctx context.Context) (target aws.Config, n topology.Names, err error) {
	if n, err = names(); err != nil {
		return target, n, err
	}
	target, err = operatorsAWS(ctx)
	return target, n, err
}

// awsVariables are those of commands that ask AWS for what config names.
func awsVariables(config any) []service.Variable {
	return slices.Concat(service.Variables(config), service.AWSVariables())
}

// adminVariables are those of commands that ask the services.
func adminVariables() []service.Variable {
	var shown []service.Variable
	for _, v := range service.Variables(&adminclient.Config{}) {
		if v.Name != "ADMIN_HOSTS" { // it is for those who answer
			shown = append(shown, v)
		}
	}
	return shown
}
