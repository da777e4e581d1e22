package scaffold

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// forDevelopers returns the files of editors and HTTP clients that list services or requests.
func (a Aggregate) forDevelopers(root string) (files []File, err error) {
	for path, change := range map[string]func([]byte) ([]byte, error){
		".vscode/launch.json": a.oneMore, ".vscode/tasks.json": a.oneMore, "docs/requests.http": a.requests,
	} {
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(path))) //nolint:gosec // a file of the clone
		if err != nil {
			return nil, err
		}
		if text, err = change(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		files = append(files, File{Path: path, Text: text})
	}
	return files, nil
}

var (
	lastObject = regexp.MustCompile(`(?s)\n    \{\n(?:      [^\n]*\n)+    \}\n  \]\n\}\n$`) // read only
	projector  = regexp.MustCompile(`projector-[a-z0-9]+`)                                  // read only
	port       = regexp.MustCompile(`(_ADDR": "127\.0\.0\.1:)(\d+)`)                        // read only
)

// oneMore repeats the last object of a list for the new projector, whose ports are the next.
func (a Aggregate) oneMore(text []byte) ([]byte, error) {
	at := lastObject.FindIndex(text)
	if at == nil || !projector.Match(text[at[0]:]) {
		return nil, errors.New("the last object is not a projector's: move it there, for the new one follows it")
	}
	last := projector.ReplaceAllString(string(text[at[0]:]), "projector-"+a.Name)
	last = port.ReplaceAllStringFunc(last, func(s string) string {
		m := port.FindStringSubmatch(s)
		n, _ := strconv.Atoi(m[2]) // digits
		return m[1] + strconv.Itoa(n+1)
	})
	return append(bytes.TrimSuffix(text, []byte("\n  ]\n}\n")), ","+last...), nil
}

// requests adds a request for each operation.
func (a Aggregate) requests(text []byte) ([]byte, error) {
	w := a.words()
	for _, p := range []place{
		{"", "@usersAdmin = ", "", "@" + w.Names + "Admin = http://127.0.0.1:9090"},
		{"", "@user = ", "", "@" + w.Name + " = " + w.ExampleID},
	} {
		var err error
		if text, err = p.edit(text); err != nil {
			return nil, err
		}
	}
	return append(text, strings.NewReplacer("THINGS", w.Names, "THING", w.Name).Replace(newRequests)...), nil
}

const newRequests = `
### Create a THING: 202

POST {{api}}/THINGS
Content-Type: application/json
Idempotency-Key: requests-THING-1

{"id": "{{THING}}", "name": "Night shift"}

### Rename a THING: 202

PUT {{api}}/THINGS/{{THING}}
Content-Type: application/json
Idempotency-Key: requests-THING-2

{"name": "Day shift"}

### One THING: 200

GET {{api}}/THINGS/{{THING}}?min_version=2&wait=5s

### List THINGS: 200

GET {{api}}/THINGS?limit=20

### Compare the THINGS read model with the log: 202

POST {{THINGSAdmin}}/projections/THINGS/catch-up

### How far that is: 200

GET {{THINGSAdmin}}/projections/THINGS/catch-up

### Which tables of the THINGS read model are read and fed: 200

GET {{THINGSAdmin}}/projections/THINGS/generations

### What the last audit of the THINGS read model found: 200

GET {{THINGSAdmin}}/projections/THINGS/audit

### Aggregates parked for the THINGS read model: 200

GET {{THINGSAdmin}}/projections/THINGS/parked?limit=20

### Apply what a parked THING has missed (nothing is parked): 404

POST {{THINGSAdmin}}/projections/THINGS/parked/org/iam/THING/{{THING}}/redrive

### Write the rows of the THING anew from the log: 200

POST {{THINGSAdmin}}/projections/THINGS/streams/org/iam/THING/{{THING}}/rebuild
`
