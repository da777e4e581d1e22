package report

import (
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"

	"github.com/leftfold/leftfold/test/bench/measure"
)

// Plot is a plot of lines, with the spread of each point.
type Plot struct {
	// Name is the file's, without .svg.
	Name  string `json:"name"`
	Title string `json:"title"`
	// X and Y say what the axes show, with the unit.
	X string `json:"x"`
	Y string `json:"y"`
	// LogX and LogY let an axis grow by factors.
	LogX  bool   `json:"logX,omitempty"`
	LogY  bool   `json:"logY,omitempty"`
	Lines []Line `json:"lines"`
}

// Line is one of a plot's. At[i] is where on the x axis Samples[i] was measured.
type Line struct {
	Name    string           `json:"name"`
	At      []float64        `json:"at"`
	Samples []measure.Sample `json:"samples"`
}

// Add adds a point.
func (l *Line) Add(at float64, s measure.Sample) {
	l.At, l.Samples = append(l.At, at), append(l.Samples, s)
}

// File is the name of the plot's file.
func (p Plot) File() string { return p.Name + ".svg" }

const (
	width, height                = 820, 380
	left, right, top, bottom     = 72, 250, 44, 52
	plotWidth, plotHeight        = width - left - right, height - top - bottom
	between                  int = 20 // lines of the legend
)

// style has colours of equal weight for light and dark, and a ground of its own, since a page may be light where the system is dark.
const style = `<style>
svg{color-scheme:light dark}
.ground{fill:#ffffff}text{font:13px system-ui,-apple-system,sans-serif;fill:#1f2328}.title{font-weight:600;font-size:15px}
.grid{stroke:#d8dee4;stroke-width:1}.line{fill:none;stroke-width:2}.spread{stroke-width:1.5;opacity:.55}
.c0{stroke:#0969da;fill:#0969da}.c1{stroke:#bc4c00;fill:#bc4c00}.c2{stroke:#1a7f37;fill:#1a7f37}
.c3{stroke:#8250df;fill:#8250df}.c4{stroke:#bf3989;fill:#bf3989}.c5{stroke:#6e7781;fill:#6e7781}.c6{stroke:#9a6700;fill:#9a6700}
@media (prefers-color-scheme:dark){
.ground{fill:#0d1117}text{fill:#e6edf3}.grid{stroke:#30363d}
.c0{stroke:#58a6ff;fill:#58a6ff}.c1{stroke:#f0883e;fill:#f0883e}.c2{stroke:#3fb950;fill:#3fb950}
.c3{stroke:#bc8cff;fill:#bc8cff}.c4{stroke:#f778ba;fill:#f778ba}.c5{stroke:#8b949e;fill:#8b949e}.c6{stroke:#d29922;fill:#d29922}
}
.line{fill:none}
</style>
`

const colours = 7

// SVG returns the plot, readable on light and on dark.
func (p Plot) SVG() string {
	x, y := p.axes()
	var out strings.Builder
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%[1]d" height="%[2]d" role="img">`+"\n"+
		"<title>%[3]s</title>\n%[4]s"+`<rect class="ground" width="%[1]d" height="%[2]d" rx="6"/>`+"\n"+
		`<text class="title" x="%[5]d" y="26">%[3]s</text>`+"\n", width, height, html.EscapeString(p.Title), style, left)
	for _, v := range y.ticks() {
		at := top + plotHeight - y.place(v)*plotHeight
		fmt.Fprintf(&out, `<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1[3]f"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n",
			left, left+plotWidth, at, left-8, at+4, tickText(v))
	}
	for _, v := range x.ticks() {
		at := left + x.place(v)*plotWidth
		fmt.Fprintf(&out, `<line class="grid" x1="%.1f" x2="%.1[1]f" y1="%d" y2="%d"/>`+
			`<text x="%.1[1]f" y="%[4]d" text-anchor="middle">%[5]s</text>`+"\n", at, top, top+plotHeight, top+plotHeight+18, tickText(v))
	}
	fmt.Fprintf(&out, `<text x="%d" y="%d" text-anchor="middle">%s</text>`+"\n", left+plotWidth/2, height-12, html.EscapeString(p.X))
	fmt.Fprintf(&out, `<text transform="translate(16 %d) rotate(-90)" text-anchor="middle">%s</text>`+"\n", top+plotHeight/2,
		html.EscapeString(p.Y))
	for i, l := range p.Lines {
		p.line(&out, l, i, x, y)
	}
	out.WriteString("</svg>\n")
	return out.String()
}

func (p Plot) line(out *strings.Builder, l Line, number int, x, y axis) {
	colour := fmt.Sprintf("c%d", number%colours)
	var points []string
	for i, at := range l.At {
		px := left + x.place(at)*plotWidth
		py := func(v float64) float64 { return top + plotHeight - y.place(v)*plotHeight }
		s := l.Samples[i]
		points = append(points, fmt.Sprintf("%.1f,%.1f", px, py(s.Median())))
		fmt.Fprintf(out, `<line class="spread %s" x1="%.1f" x2="%.1[2]f" y1="%.1f" y2="%.1f"/>`+
			`<circle class="%[1]s" cx="%.1[2]f" cy="%.1[5]f" r="3"/>`+"\n", colour, px, py(s.Min()), py(s.Max()), py(s.Median()))
	}
	fmt.Fprintf(out, `<polyline class="%s line" points="%s"/>`+"\n", colour, strings.Join(points, " "))
	at := top + 8 + number*between
	fmt.Fprintf(out, `<line class="%s line" x1="%d" x2="%d" y1="%d" y2="%[4]d"/><text x="%d" y="%d">%s</text>`+"\n", colour, left+plotWidth+14,
		left+plotWidth+34, at, left+plotWidth+40, at+4, html.EscapeString(l.Name))
}

// axis maps values to 0 to 1.
type axis struct {
	from, to float64
	log      bool
}

func (p Plot) axes() (x, y axis) {
	var xs, ys []float64
	for _, l := range p.Lines {
		for i, at := range l.At {
			xs, ys = append(xs, at), append(ys, l.Samples[i].Min(), l.Samples[i].Max())
		}
	}
	return newAxis(xs, p.LogX, p.LogX), newAxis(ys, p.LogY, false)
}

// newAxis returns an axis that has the values: from 0 on, or the least one's place if it grows by factors.
func newAxis(values []float64, log, tight bool) axis {
	a := axis{log: log}
	if log {
		a.from = math.Inf(1)
	}
	for _, v := range values {
		if v > 0 {
			a.to = max(a.to, v)
			if log {
				a.from = min(a.from, v)
			}
		}
	}
	switch {
	case a.to == 0:
		return axis{to: 1}
	case !log:
		a.to *= 1.05
	case a.from == a.to:
		a.from, a.to = a.from/2, a.to*2
	case !tight:
		a.from, a.to = a.from/1.2, a.to*1.2
	}
	return a
}

func (a axis) place(v float64) float64 {
	if a.log {
		return math.Log(max(v, a.from)/a.from) / math.Log(a.to/a.from)
	}
	return (v - a.from) / (a.to - a.from)
}

// tickText writes a round value without digits that say nothing.
func tickText(v float64) string {
	if v >= 1000 {
		return measure.Number(v)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// ticks are round values: a few.
func (a axis) ticks() (at []float64) {
	if a.log {
		steps := []float64{1, 2, 5}
		if a.to/a.from > 200 {
			steps = steps[:1]
		}
		for power := math.Floor(math.Log10(a.from)); power <= math.Ceil(math.Log10(a.to)); power++ {
			for _, step := range steps {
				if v := step * math.Pow(10, power); v >= a.from*0.999 && v <= a.to*1.001 {
					at = append(at, v)
				}
			}
		}
		return at
	}
	step := math.Pow(10, math.Floor(math.Log10(a.to)))
	for _, part := range []float64{1, 0.5, 0.2, 0.1} {
		if a.to/(step*part) >= 4 {
			step *= part
			break
		}
	}
	for v := 0.0; v <= a.to; v += step {
		at = append(at, v)
	}
	return at
}
