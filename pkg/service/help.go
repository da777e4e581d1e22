package service

import (
	"cmp"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"unicode/utf8"
)

// Columns is the width of a terminal that help fits into.
const Columns = 80

// meanings is the column at which the help explains variables.
const meanings = 26

// WantsHelp reports whether the arguments request help, in one of the usual ways.
func WantsHelp(args []string) bool {
	return len(args) == 1 && slices.Contains([]string{"-h", "-help", "--help", "help"}, args[0])
}

// UnknownArguments is the error of a command, such as "leftfold demo", that does not know its arguments.
func UnknownArguments(command string, args []string) error {
	return fmt.Errorf("unknown arguments %q; %s --help lists what there is", strings.Join(args, " "), command)
}

// WriteHelp prints what a program does and the variables it reads.
func WriteHelp(w io.Writer, name, does string, configs ...any) error {
	_, _ = fmt.Fprintf(w, `%s

Usage: %s [command]

  (none)   run until a signal
  -health  ask the process that runs here whether its loops turn; exit code 1:
           restart it
  -ready   ask it whether it may get requests; exit code 0: yes
  config   check and print the configuration, secrets masked; exit code 1: there
           are mistakes
  version  print the release
  -help    print this

`, strings.Join(wrapped(name+": "+does, Columns), "\n"), name)
	return WriteVariables(w, slices.Concat(Variables(configs...), AWSVariables()))
}

// WriteVersion prints the release of a program.
func WriteVersion(w io.Writer, name string) error {
	version, revision := Release()
	_, err := fmt.Fprintf(w, "%s %s, commit %s, %s, %s/%s\n", name, version, revision, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// AWSVariables are those of the SDK that most installations need.
// All are in https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html
func AWSVariables() []Variable {
	const group = "AWS, as its SDK reads them"
	return []Variable{
		{Group: group, Name: "AWS_REGION", Meaning: "region of all resources, such as eu-central-1"},
		{Group: group, Name: "AWS_PROFILE", Meaning: "profile of ~/.aws to take settings and credentials from"},
		{
			Group: group, Name: "AWS_ACCESS_KEY_ID",
			Meaning: "credentials, with AWS_SECRET_ACCESS_KEY; not needed with a profile or a task's role",
		},
		{
			Group: group, Name: "AWS_ENDPOINT_URL",
			Meaning: "another AWS, such as http://127.0.0.1:4566 for the embedded one; unset: AWS itself",
		},
	}
}

// WriteVariables explains variables by group, with their defaults.
func WriteVariables(w io.Writer, variables []Variable) error {
	var groups []string
	for _, v := range variables {
		if !slices.Contains(groups, v.Group) {
			groups = append(groups, v.Group)
		}
	}
	var out strings.Builder
	out.WriteString("Environment variables, with their [defaults]:\n")
	for _, group := range groups {
		out.WriteString("\n" + cmp.Or(group, "Others") + ":\n")
		for _, v := range variables {
			if v.Group == group {
				v.explain(&out)
			}
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

func (v Variable) explain(out *strings.Builder) {
	text := v.Meaning
	if v.Default != "" {
		text += " [" + v.Default + "]"
	}
	head := fmt.Sprintf("  %-*s", meanings-2, v.Name)
	if len(v.Name) > meanings-3 { // no space is left
		head += "\n" + strings.Repeat(" ", meanings)
	}
	out.WriteString(head + strings.Join(wrapped(text, Columns-meanings), "\n"+strings.Repeat(" ", meanings)) + "\n")
}

// wrapped breaks a text at spaces into lines of at most that many characters. A longer word has a line of its own.
func wrapped(text string, width int) []string {
	var lines []string
	for word := range strings.FieldsSeq(text) {
		last := len(lines) - 1
		if last >= 0 && utf8.RuneCountInString(lines[last])+1+utf8.RuneCountInString(word) <= width {
			lines[last] += " " + word
		} else {
			lines = append(lines, word)
		}
	}
	return lines
}

// WriteConfig prints the configuration in effect as NAME=value lines, secrets masked, unless it has mistakes.
func WriteConfig(w io.Writer, lookup Lookup, configs ...any) error {
	if err := LoadConfig(lookup, configs...); err != nil {
		return err
	}
	for _, v := range Variables(configs...) {
		if _, err := fmt.Fprintf(w, "%s=%s\n", v.Name, v.masked(v.text(lookup))); err != nil {
			return err
		}
	}
	return nil
}
