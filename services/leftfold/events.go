package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/spf13/cobra"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/envelope"
	"github.com/leftfold/leftfold/pkg/engine/setaside"
	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/iam/whereabouts"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/adminclient"
	"github.com/leftfold/leftfold/services/leftfold/internal/output"
)

const (
	aboutTail = `Print events as they arrive in the Kinesis stream, from now on, until Ctrl-C. It
takes no lease and delays no service; each shard is read once a second, of five
reads that Kinesis allows all its readers together. What is personal, the data
and the actor, is printed with --data only.`

	aboutShow = `Print the events of a stream, or one of them, from the log: STREAM or
STREAM#VERSION. What is personal, the data and the actor, is printed with --data
only.

Exit codes: 0 printed, 1 the log has none, 2 trouble.`

	aboutJourney = `Print where an event is: in the log, on its way and in the read models. It is
named by STREAM#VERSION, or STREAM for its last event, or by its id. The log,
rows and leases are read from AWS. What happened on the way is what the services
at the admin addresses remember: each its last 10,000 steps, since its start;
what none of them does is "not seen".

The log has no index by id. An id is looked up among what the services remember;
--scan then reads the whole log for it, which costs as much as a backup.

Exit codes: 0 every read model shows it, 1 some do not, 2 trouble.`
)

// newEvents returns the commands on events.
func newEvents(con *console) *cobra.Command {
	var follow tailing
	tail := con.command("events tail", task{
		use: "tail", short: "Follow the events as they arrive", long: aboutTail, variables: awsVariables(&topology.HopNames{}),
		do: func(ctx context.Context, _ []string) (bool, error) { return false, con.tail(ctx, follow) },
	})
	tail.Flags().StringSliceVar(&follow.categories, "category", nil, "only of these, such as org/iam/user")
	tail.Flags().StringSliceVar(&follow.streams, "stream", nil, "only of these, such as org/iam/user/0192…")
	tail.Flags().StringSliceVar(&follow.actors, "actor", nil, "only of these")
	tail.Flags().BoolVar(&follow.data, "data", false, "print what is personal, too")
	tail.Flags().IntVar(&follow.count, "count", 0, "end after so many")

	data := false
	show := con.command("events show", task{
		use: "show <stream>[#version]", short: "Print events of the log", long: aboutShow,
		args: usage(1, 1, "a stream, such as org/iam/user/0192…"), variables: awsVariables(&topology.EventLogName{}),
		do: func(ctx context.Context, args []string) (bool, error) { return con.showEvents(ctx, args[0], data) },
	})
	show.Flags().BoolVar(&data, "data", false, "print what is personal, too")

	var version uint64
	scan := false
	where := con.command("events journey", task{
		use: "journey (<stream>[#version] | <event id>)", short: "Say where an event is", long: aboutJourney,
		args:      usage(1, 1, "a stream, such as org/iam/user/0192…, or the id of an event"),
		variables: slices.Concat(awsVariables(&topology.Names{}), adminVariables()),
		do: func(ctx context.Context, args []string) (bool, error) {
			return con.journey(ctx, args[0], eventsourcing.Version(version), scan)
		},
	})
	where.Flags().Uint64Var(&version, "version", 0, "of the stream's events; the last one if it is 0")
	where.Flags().BoolVar(&scan, "scan", false, "read the whole log for an id that no service remembers")
	return con.operatorsGroup("events", "Look at events and where they are", failure("events"), tail, show, con.withAdmins(where))
}

// event is an event as it is printed; what is personal only on request.
type event struct {
	Stream        string                     `json:"stream"`
	Version       eventsourcing.Version      `json:"version"`
	ID            string                     `json:"id"`
	Name          string                     `json:"name"`
	Schema        int                        `json:"schema"`
	RecordedAt    time.Time                  `json:"recordedAt"`
	CorrelationID string                     `json:"correlationId,omitempty"`
	CausationID   string                     `json:"causationId,omitempty"`
	Actor         string                     `json:"actor,omitempty"`
	Data          any                        `json:"data,omitempty"`
	Enrichment    []eventsourcing.Enrichment `json:"enrichment,omitempty"`
}

func (con *console) eventTable(data bool) func(eventsourcing.Record) {
	columns := []output.Column{
		{Name: "RECORDED AT", Width: 24},
		{Name: "STREAM", Width: 49},
		{Name: "VERSION", Width: 7},
		{Name: "ID", Width: 36},
		{Name: "EVENT", Width: 25},
	}
	if data {
		columns = append(columns, output.Column{Name: "ACTOR", Width: 12}, output.Column{Name: "DATA"})
	}
	table := con.printer(columns...)
	return func(r eventsourcing.Record) {
		e := event{
			Stream: r.Stream.String(), Version: r.Version, ID: r.ID, Name: r.Name, Schema: r.Schema, RecordedAt: r.RecordedAt,
			CorrelationID: r.Metadata.CorrelationID, CausationID: r.Metadata.CausationID,
		}
		cells := []string{r.RecordedAt.Format(eventsourcing.RecordedAtLayout), e.Stream, number(r.Version), r.ID, r.Name}
		if data {
			e.Actor, e.Data, e.Enrichment = r.Metadata.Actor, r.Data, r.Enrichment
			cells = append(cells, e.Actor, string(r.Data))
		}
		table.Row(e, cells...)
	}
}

func number(v eventsourcing.Version) string { return strconv.FormatUint(uint64(v), 10) }

// tailing is what is followed, and how it is printed.
type tailing struct {
	categories, streams, actors []string
	data                        bool
	count                       int
}

func (t tailing) wants(r eventsourcing.Record) bool {
	in := func(list []string, value string) bool { return len(list) == 0 || slices.Contains(list, value) }
	return in(t.categories, r.Stream.Category) && in(t.streams, r.Stream.String()) && in(t.actors, r.Metadata.Actor)
}

const tailPause = time.Second

func (con *console) tail(ctx context.Context, t tailing) error {
	target, n, err := account(ctx)
	if err != nil {
		return err
	}
	begun := func() { con.say("following %s from now on", n.Stream) }
	print, printed := con.eventTable(t.data), 0
	for record, err := range shards.Tail(ctx, kinesis.NewFromConfig(target), n.Stream, tailPause, begun) {
		if err != nil {
			return err
		}
		r, err := envelope.Decode(record.Value)
		if err != nil {
			con.say("a record at %s is no event: leftfold set-aside list", record.Sequence)
			continue
		}
		if !t.wants(r) {
			continue
		}
		print(r)
		if printed++; printed == t.count || con.out.Err() != nil {
			return nil
		}
	}
	return nil
}

// stored returns the tables of the AWS of the environment.
func stored(ctx context.Context) (n topology.Names, db *dynamodb.Client, log *dynamostore.Store, err error) {
	target, n, err := account(ctx)
	if err != nil {
		return n, nil, nil, err
	}
	db = dynamodb.NewFromConfig(target)
	return n, db, dynamostore.NewStore(db, tables(n)), nil
}

func tables(n topology.Names) dynamostore.Config {
	return dynamostore.Config{Tables: dynamostore.Tables{Events: n.EventLog, Claims: n.SetValidations}}
}

// address is what names an event, STREAM or STREAM#VERSION; version 0: none is named.
func address(text string) (stream eventsourcing.StreamID, version eventsourcing.Version, err error) {
	name, of, numbered := strings.Cut(text, "#")
	if stream, err = eventsourcing.ParseStreamID(name); err != nil || !numbered {
		return stream, 0, err
	}
	v, err := strconv.ParseUint(of, 10, 64)
	if err != nil || v == 0 {
		return stream, 0, errors.New("want a version from 1 on after #")
	}
	return stream, eventsourcing.Version(v), nil
}

func (con *console) showEvents(ctx context.Context, of string, data bool) (none bool, err error) {
	stream, version, err := address(of)
	if err != nil {
		return false, err
	}
	_, _, log, err := stored(ctx)
	if err != nil {
		return false, err
	}
	print, none := con.eventTable(data), true
	after := version
	if version > 0 {
		after--
	}
	for r, err := range log.Read(ctx, stream, after) {
		if err != nil {
			return false, err
		}
		print(r)
		none = false
		if r.Version == version {
			break
		}
	}
	if none {
		con.say("%v", unlogged(stream, version))
	}
	return none, nil
}

// unlogged is the error of an event, or of any, that the log does not have.
func unlogged(stream eventsourcing.StreamID, version eventsourcing.Version) error {
	if version == 0 {
		return fmt.Errorf("the log has no event of %s", stream)
	}
	return fmt.Errorf("the log has no version %d of %s", version, stream)
}

func (con *console) journey(ctx context.Context, of string, version eventsourcing.Version, scan bool) (missing bool, err error) {
	n, db, log, err := stored(ctx)
	if err != nil {
		return false, err
	}
	client, err := con.services(ctx)
	if err != nil {
		return false, err
	}
	stream, numbered, err := con.locate(ctx, client, log, of, scan)
	if err != nil {
		return false, err
	}
	if numbered == 0 {
		numbered = version
	}
	if numbered == 0 {
		if numbered, err = log.Last(ctx, stream); err != nil {
			return false, err
		}
	}
	finder := whereabouts.Finder{
		Names: n, Log: log, DB: db, Claims: dynamostore.NewClaims(db, tables(n)),
		Leases: shards.NewDynamoDBLeases(db, n.Leases), SetAside: setaside.NewList(db, n.SetAside, nil), // it keeps nothing
	}
	query := url.Values{"stream": {stream.String()}, "version": {number(numbered)}}
	if finder.Remembered, err = con.remembered(ctx, client, query); err != nil {
		con.say("%v", err)
	}
	table := con.printer(
		output.Column{Name: "PLACE", Width: 9}, output.Column{Name: "NAME", Width: 18}, output.Column{Name: "STATE", Width: 16},
		output.Column{Name: "AT", Width: 24}, output.Column{Name: "WHAT IS KNOWN"},
	)
	arrived, err := finder.Find(ctx, stream, numbered, func(s whereabouts.Stop) { table.Row(s, cells(s)...) })
	if errors.Is(err, dynamostore.ErrNoItem) {
		return false, unlogged(stream, numbered)
	}
	return !arrived, err
}

// cells are the columns of a stop.
func cells(s whereabouts.Stop) []string {
	at, known := "", []string(nil)
	if s.At != nil {
		at = s.At.UTC().Format(eventsourcing.RecordedAtLayout)
	}
	add := func(is bool, format string, values ...any) {
		if is {
			known = append(known, fmt.Sprintf(format, values...))
		}
	}
	add(s.Shard != "", "shard %s at %s", s.Shard, s.Sequence)
	add(s.Receives > 0, "receive %d", s.Receives)
	add(s.Group != "", "group %s", s.Group)
	add(s.By != "" && s.Place == "row", "fence %d → %d", s.Before, s.After)
	add(s.Detail != "", "%s", s.Detail)
	add(s.Waits != "", "%s", s.Waits)
	add(s.By != "", "by %s", s.By)
	return []string{s.Place, s.Name, s.State, at, strings.Join(known, "; ")}
}

// locate returns the stream and the version that a text names: itself, or as the id of an event.
func (con *console) locate(
	ctx context.Context, client *adminclient.Client, log *dynamostore.Store, of string, scan bool,
) (stream eventsourcing.StreamID, version eventsourcing.Version, err error) {
	if strings.Contains(of, "/") {
		return address(of)
	}
	remembered, err := con.remembered(ctx, client, url.Values{"event": {of}})
	if at, version, found, wrong := whereabouts.Event(remembered); found || wrong != nil {
		return at, version, wrong
	}
	if !scan {
		if err == nil {
			err = errors.New("no service remembers it")
		}
		return stream, 0, fmt.Errorf("find event %s: %w; name it as STREAM#VERSION, or --scan the whole log for it", of, err)
	}
	for r, err := range log.All(ctx, 4) {
		if errors.Is(err, eventsourcing.ErrLogHole) {
			continue
		}
		if err != nil {
			return stream, 0, err
		}
		if r.ID == of {
			return r.Stream, r.Version, nil
		}
	}
	return stream, 0, fmt.Errorf("the log has no event %s", of)
}

// remembered asks every service what it remembers.
func (con *console) remembered(ctx context.Context, client *adminclient.Client, query url.Values) (all []service.Journey, err error) {
	return whereabouts.Remembered(ctx, client, query, func(address string, err error) {
		if client.Named {
			con.say("%s does not answer: %v", address, err)
		}
	})
}
