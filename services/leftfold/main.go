// Leftfold runs every service and an embedded AWS in one process, and has commands for developers and operators.
package main

import (
	"context"
	"os"

	"github.com/leftfold/leftfold/pkg/service"
)

func main() {
	service.Exit("leftfold", os.Args[1:], func(ctx context.Context, args []string) error {
		root := newRoot(os.Stdout, os.Stderr) //nolint:contextcheck // ExecuteContext passes it
		root.SetArgs(withDoubleDashes(args))
		return root.ExecuteContext(ctx)
	})
}

// withDoubleDashes lets the program have the flags of the services, which are spelled as Go's own package does.
func withDoubleDashes(args []string) []string {
	out := make([]string, 0, len(args))
	for _, arg := range args {
		if arg == "-health" || arg == "-ready" || arg == "-help" {
			arg = "-" + arg
		}
		out = append(out, arg)
	}
	return out
}
