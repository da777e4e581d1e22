package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Write writes the results into comparison.md and comparison.json, both in a folder.
func (r Results) Write(folder string) error { return Write(folder, "comparison", r, r.Markdown()) }

// Write writes results into a folder: rendered into comparison.md, between <!-- section: written by a program --> and
// <!-- end of section -->, and as they are into section.json.
func Write(folder, section string, results any, rendered string) error {
	text, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		return err
	}
	page := filepath.Join(folder, "comparison.md")
	before, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	after, err := replace(string(before), section, rendered)
	if err != nil {
		return fmt.Errorf("%s: %w", page, err)
	}
	if err := os.WriteFile(page, []byte(after), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, section+".json"), append(text, '\n'), 0o600)
}

// replace puts a body between the markers of a section.
func replace(text, section, body string) (string, error) {
	begin, end := "<!-- "+section+": written by a program -->\n", "<!-- end of "+section+" -->"
	before, rest, ok := strings.Cut(text, begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		return "", fmt.Errorf("lacks the lines %q and %q", strings.TrimSpace(begin), end)
	}
	return before + begin + body + end + after, nil
}

// Markdown renders the results.
func (r Results) Markdown() string {
	var b strings.Builder
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(&b, format+"\n", args...) }
	line("%s, %s.\n`%s`.\nRounds: %d, each with %d updates of %d aggregates, as many new aggregates and as many bare writes.\n"+
		"Medians, and in brackets the least and the most.\n", r.Date, r.Machine, r.Command, r.Rounds, r.Updates, r.Streams)
	if len(r.Skipped) > 0 {
		line("Not installed where this was run, and so left out: %s.\n", strings.Join(r.Skipped, ", "))
	}
	r.costs(line, "An update: load, decide, append", func(c Contender) []Cost { return c.Update }, "update")
	r.costs(line, "A new aggregate with one event", func(c Contender) []Cost { return c.Open }, "open")
	r.correctness(line)
	line("### The libraries\n")
	line("| library | licence | run by | strengths | how it is used |")
	line("|---|---|---|---|---|")
	for _, c := range r.Contenders {
		if c.Variant == "" {
			line("| [%s](%s) %s | %s | %s: `%s` | %s | %s |",
				c.Name, c.Homepage, c.Version, c.Licence, cmp.Or(c.Runtime, c.Language), c.Command, c.Strengths, c.Notes)
		}
	}
	return b.String()
}

func (r Results) costs(line func(string, ...any), title string, of func(Contender) []Cost, task string) {
	line("### %s\n", title)
	line("| library | language | AWS calls | read units | write units | $ per million | CPU, ms | CPU beside a bare write |")
	line("|---|---|---|---|---|---|---|---|")
	for _, c := range r.Contenders {
		costs := of(c)
		if len(costs) == 0 {
			line("| %s | %s | %s | | | | | |", c.Title(), c.Language, c.without(task))
			continue
		}
		line("| %s | %s | %s | %s | %s | %s | %s | %s |", c.Title(), c.Language,
			Spread("%.1f", costs, func(c Cost) float64 { return c.Calls }),
			Spread("%.1f", costs, func(c Cost) float64 { return c.ReadUnits }),
			Spread("%.1f", costs, func(c Cost) float64 { return c.WriteUnits }),
			Spread("%.2f", costs, Cost.DollarsPerMillion),
			Spread("%.2f", costs, func(c Cost) float64 { return c.CPU }),
			c.besideBare(costs))
	}
	line("")
}

// besideBare is the ratio of the CPU time to that of a bare write in the same round.
func (c Contender) besideBare(costs []Cost) string {
	var ratios []float64
	for i := range min(len(costs), len(c.Bare)) {
		ratios = append(ratios, costs[i].CPU/c.Bare[i].CPU)
	}
	if len(ratios) == 0 {
		return c.without("bare")
	}
	return Spread("%.1f", ratios, func(ratio float64) float64 { return ratio })
}

// without says why there is no result of a task.
func (c Contender) without(task string) string {
	why := c.Failed[task]
	if task == "open" || task == "bare" {
		why = cmp.Or(why, c.Failed["update"]) // which they follow
	}
	if why != "" {
		return "fails" // the text says why
	}
	return "not offered"
}

func (r Results) correctness(line func(string, ...any)) {
	line("### What goes wrong\n")
	line("| library | %d writers race: accepted, of those lost | a gap of versions | after a lost answer | one e-mail, %d at once | "+
		"a load of more than 1 MB |", r.Writers, r.Writers)
	line("|---|---|---|---|---|---|")
	for _, c := range r.Contenders {
		line("| %s | %s | %s | %s | %s | %s |", c.Title(), c.race(), c.gap(), c.lost(), c.unique(), c.big(r.BigEvents))
	}
	line("")
	for _, c := range r.Contenders {
		for _, task := range slices.Sorted(maps.Keys(c.Failed)) {
			line("- %s fails in the task %s: `%s`", c.Title(), task, strings.ReplaceAll(c.Failed[task], "`", "'"))
		}
	}
}

func (c Contender) race() string {
	if len(c.Race) == 0 {
		return c.without("race")
	}
	accepted := Spread("%.0f", c.Race, func(r Race) float64 { return float64(r.Accepted) })
	lost := slices.MaxFunc(c.Race, func(a, b Race) int { return cmp.Compare(a.lost(), b.lost()) }).lost()
	if lost > 0 {
		return fmt.Sprintf("%s, **%d**", accepted, lost)
	}
	return accepted + ", 0"
}

func (c Contender) gap() string {
	return all(c, "gap", c.Gap, func(g Gap) string {
		if g.Accepted {
			return "**accepted**"
		}
		return "refused"
	})
}

func (c Contender) lost() string {
	return all(c, "lost", c.Lost, func(l Lost) string {
		switch {
		case l.Read > 1:
			return fmt.Sprintf("**written %d times**", l.Read)
		case l.Read == 0:
			return "**not written**"
		case l.Error != "":
			return "written, but reported as failed"
		default:
			return "written once"
		}
	})
}

func (c Contender) unique() string {
	return all(c, "unique", c.Unique, func(u Unique) string {
		if u.Accepted > 1 {
			return fmt.Sprintf("**%d have it**", u.Accepted)
		}
		return fmt.Sprintf("%d has it", u.Accepted)
	})
}

func (c Contender) big(events int) string {
	return all(c, "big", c.Big, func(b Big) string {
		switch {
		case b.Written < events:
			return fmt.Sprintf("**no append after event %d**", b.Written)
		case b.Read < b.Written:
			return fmt.Sprintf("**%d of %d events**", b.Read, b.Written)
		default:
			return "whole"
		}
	})
}

// all says each outcome that the rounds had, the more frequent first.
func all[A any](c Contender, task string, answers []A, say func(A) string) string {
	if len(answers) == 0 {
		return c.without(task)
	}
	times := map[string]int{}
	var said []string
	for _, answer := range answers {
		text := say(answer)
		if times[text]++; times[text] == 1 {
			said = append(said, text)
		}
	}
	slices.SortStableFunc(said, func(a, b string) int { return cmp.Compare(times[b], times[a]) })
	return strings.Join(said, "; ")
}

// Spread says the median and, where they differ, the least and the most.
func Spread[A any](format string, from []A, of func(A) float64) string {
	values := make([]float64, len(from))
	for i, each := range from {
		values[i] = of(each)
	}
	slices.Sort(values)
	n := len(values)
	median := fmt.Sprintf(format, (values[(n-1)/2]+values[n/2])/2)
	least, most := fmt.Sprintf(format, values[0]), fmt.Sprintf(format, values[n-1])
	if least == most {
		return median
	}
	return fmt.Sprintf("%s (%s–%s)", median, least, most)
}
