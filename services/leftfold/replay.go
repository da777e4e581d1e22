package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/spf13/cobra"

	"github.com/leftfold/leftfold/pkg/engine/archive"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/services/leftfold/app"
	"github.com/leftfold/leftfold/services/leftfold/internal/amount"
)

const aboutRun = `Run every service and an embedded AWS in one process until Ctrl-C.

--from loads a log before: the archive in a folder or at s3://bucket/prefix, or,
with table:<name>, a table of the AWS of the environment. It is only read. What
is not whole is refused, as by restore.

With --save-rows or --compare, it runs until the read models have all of that
log, and ends: it writes their rows into a file, or compares them with the rows
that another build wrote of the same log, stream by stream.

Exit codes: 0 stopped, saved or equal; 1 trouble, or rows that differ.`

// replay is what run does besides running.
type replay struct {
	from          string // the log to load
	save, compare string // files of rows
}

const loadedInParallel = 8 // files or parts of a table, and streams

// newRun returns the command that runs the system, as runSystem does if there is nothing to replay.
func newRun(con *console, lookup service.Lookup, runSystem func(context.Context) error) *cobra.Command {
	var r replay
	c := command(toRun, "run", "Run every service and an embedded AWS, as without a command", func(ctx context.Context) error {
		switch {
		case r == replay{}:
			return runSystem(ctx)
		case r.from == "":
			return errors.New("--save-rows and --compare: want --from with them")
		case r.save != "" && r.compare != "":
			return errors.New("--save-rows and --compare: want one of them")
		default:
			return errors.Join(con.replay(ctx, lookup, r), con.out.Err())
		}
	})
	c.Long = aboutRun
	c.Flags().StringVar(&r.from, "from", "", "a log to load, such as table:EventLog")
	c.Flags().StringVar(&r.save, "save-rows", "", "with --from: the file to write all rows to")
	c.Flags().StringVar(&r.compare, "compare", "", "with --from: the file to compare them with")
	return c
}

// replay loads a log and runs on it.
func (con *console) replay(ctx context.Context, lookup service.Lookup, r replay) error {
	load := func(ctx context.Context, cfg app.Config, logs io.Writer) (*app.System, error) {
		cfg.Seed = 0
		if r.save+r.compare != "" {
			cfg = cfg.OnFreePorts()
		}
		system, err := app.New(ctx, cfg, logs)
		if err != nil {
			return nil, err
		}
		return system, con.load(ctx, system, r.from)
	}
	if r.save+r.compare == "" {
		return run(ctx, lookup, con.out, con.logs, load, banner)
	}
	var cfg app.Config
	if err := service.LoadConfig(lookup, &cfg); err != nil {
		return err
	}
	use, err := con.rowsFor(r)
	if err != nil {
		return err
	}
	system, err := load(ctx, cfg, con.logs)
	if err != nil {
		return err
	}
	err = system.During(ctx, func(ctx context.Context) error {
		all, err := con.rows(ctx, system)
		if err != nil {
			return err
		}
		return use(all)
	})
	if ctx.Err() != nil {
		return errors.New("stopped before the read models had the whole log: no row is saved or compared")
	}
	return err
}

// rowsFor returns what becomes of the rows. Files that cannot be written or read are an error now, before the log is loaded.
func (con *console) rowsFor(r replay) (use func([]row) error, err error) {
	if r.compare != "" {
		theirs, err := readRows(r.compare)
		return func(ours []row) error { return con.compareRows(theirs, ours) }, err
	}
	if to, err := os.Stat(filepath.Dir(r.save)); err != nil || !to.IsDir() {
		return nil, fmt.Errorf("--save-rows %s: there is no such folder", r.save)
	}
	return func(all []row) error {
		if err := saveRows(r.save, all); err != nil {
			return err
		}
		con.printer().Line(map[string]int{"saved": len(all)}, amount.Of(len(all), "row")+" saved in "+r.save)
		return nil
	}, nil
}

// load fills the log and the claims of a system that does not run yet.
func (con *console) load(ctx context.Context, system *app.System, from string) error {
	table, isTable := strings.CutPrefix(from, "table:")
	if !isTable {
		table = ""
	}
	var target aws.Config // of the source; a folder needs none
	var err error
	if isTable || strings.HasPrefix(from, "s3://") {
		if target, err = operatorsAWS(ctx); err != nil {
			return err
		}
	}
	config := archive.RestoreConfig{
		EventLog: logIn(dynamodb.NewFromConfig(system.AWS.Config()), system.Config.Names.EventLog), Parallel: loadedInParallel,
	}
	archived := app.ArchiveName{Archive: from}
	if config.Source, err = source(ctx, archived, table, dynamodb.NewFromConfig(target), target, loadedInParallel); err != nil {
		return err
	}
	refused, err := con.fill(ctx, config)
	if err == nil && refused {
		err = fmt.Errorf("%s is no whole log of its own: nothing is loaded", from)
	}
	if err != nil {
		return err
	}
	differ, err := con.reserve(ctx, system.AWS.Config(), system.Config.Names)
	if err == nil && differ {
		con.say("Not all unique values could be reserved; commands on them may be refused.")
	}
	return err
}

// row is a row of a read model, as a file has it: one on each line.
type row struct {
	Projection string         `json:"projection"`
	Stream     string         `json:"stream"` // that the row is of
	ID         string         `json:"id"`
	Row        string         `json:"row"`
	Attributes map[string]any `json:"attributes"`
}

// rows waits until the read models have the whole log, and returns their rows.
func (con *console) rows(ctx context.Context, system *app.System) (all []row, err error) {
	con.admins = []string{"http://" + system.AdminAddr}
	db := dynamodb.NewFromConfig(system.AWS.Config(), func(o *dynamodb.Options) { o.RetryMaxAttempts = auditsAttempts })
	for _, p := range system.Config.Names.Projections() {
		if _, err := con.catchUp(ctx, p.Name, false); err != nil {
			return nil, err
		}
		of, err := rowsOf(ctx, db, p.Name, p.Table)
		if err != nil {
			return nil, err
		}
		all = append(all, of...)
	}
	slices.SortFunc(all, func(a, b row) int {
		return cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Projection, b.Projection),
			cmp.Compare(a.ID, b.ID), cmp.Compare(a.Row, b.Row))
	})
	return all, nil
}

// rowsOf reads all rows of a read model, those of what is parked included.
func rowsOf(ctx context.Context, db *dynamodb.Client, projection, table string) (all []row, err error) {
	pages := dynamodb.NewScanPaginator(db, &dynamodb.ScanInput{TableName: &table, ConsistentRead: aws.Bool(true)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("read the rows of %s: %w", projection, err)
		}
		for _, item := range page.Items {
			r := row{Projection: projection}
			exact := func(o *attributevalue.DecoderOptions) { o.UseNumber = true }
			if err := attributevalue.UnmarshalMapWithOptions(item, &r.Attributes, exact); err != nil {
				return nil, fmt.Errorf("read a row of %s: %w", projection, err)
			}
			for name, of := range map[string]*string{"stream": &r.Stream, "id": &r.ID, "row": &r.Row} {
				*of, _ = r.Attributes[name].(string)
				delete(r.Attributes, name)
			}
			delete(r.Attributes, "parked_at") // is not of the log
			all = append(all, r)
		}
	}
	return all, nil
}

func saveRows(name string, rows []row) error {
	var text bytes.Buffer
	lines := json.NewEncoder(&text)
	for _, r := range rows {
		if err := lines.Encode(r); err != nil {
			return err
		}
	}
	return os.WriteFile(name, text.Bytes(), 0o600) // personal data
}

func readRows(name string) (rows []row, err error) {
	file, err := os.Open(name) //nolint:gosec // the file that the command names
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // of a reader
	for lines := json.NewDecoder(bufio.NewReader(file)); ; {
		var r row
		if err := lines.Decode(&r); errors.Is(err, io.EOF) {
			return rows, nil
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w; --save-rows writes such a file", name, err)
		}
		rows = append(rows, r)
	}
}

// rowDiffers is a difference as it is printed. It names attributes and no values, which may be personal.
type rowDiffers struct {
	Stream     string   `json:"stream"`
	Projection string   `json:"projection"`
	ID         string   `json:"id"`
	Row        string   `json:"row"`
	Attributes []string `json:"attributes,omitempty"`
	Text       string   `json:"text"`
}

// compareRows compares the rows of another build with this build's.
func (con *console) compareRows(theirs, ours []row) error {
	printer, differences, streams := con.printer(), 0, map[string]bool{}
	differs := func(r row, text string, attributes ...string) {
		differences++
		streams[r.Stream] = true
		printer.Line(rowDiffers{r.Stream, r.Projection, r.ID, r.Row, attributes, text},
			fmt.Sprintf("%s: row %s of %s in %s %s", r.Stream, r.Row, r.ID, r.Projection, text))
	}
	type key struct{ projection, id, row string }
	keyOf := func(r row) key { return key{r.Projection, r.ID, r.Row} }
	other := map[key]row{}
	for _, r := range theirs {
		other[keyOf(r)] = r
	}
	for _, r := range ours {
		was, found := other[keyOf(r)]
		delete(other, keyOf(r))
		if !found {
			differs(r, "is this build's alone")
		} else if names := differing(was, r); len(names) > 0 {
			differs(r, "differs in "+strings.Join(names, ", "), names...)
		}
	}
	for _, r := range theirs {
		if _, left := other[keyOf(r)]; left {
			differs(r, "is the other build's alone")
		}
	}
	printer.Line(map[string]int{"rows": len(ours), "streams": len(streams), "differences": differences}, fmt.Sprintf(
		"%s compared with %s: %s in %s", amount.Of(len(ours), "row"), amount.Digits(len(theirs)),
		amount.Of(differences, "difference"), amount.Of(len(streams), "stream")))
	if differences > 0 {
		return outcome{code: 1}
	}
	return nil
}

// differing returns the names of the attributes that two rows have not alike.
func differing(a, b row) (names []string) {
	if a.Stream != b.Stream {
		names = append(names, "stream")
	}
	both := maps.Clone(a.Attributes)
	maps.Copy(both, b.Attributes)
	for _, name := range slices.Sorted(maps.Keys(both)) {
		was, inA := a.Attributes[name]
		is, inB := b.Attributes[name]
		if text(was) != text(is) || inA != inB {
			names = append(names, name)
		}
	}
	return names
}

// text is an attribute as JSON, in which a file has it.
func text(attribute any) string {
	b, _ := json.Marshal(attribute) // it came from JSON, or goes there
	return string(b)
}
