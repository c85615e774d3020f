package oversubscription

import (
	"cmp"
	"fmt"
	"html"
	"io"
	"math"
	"slices"
	"strings"
)

// The drawing, in pixels: one panel a group; savings upwards, violations to the
// right in powers of ten.
const (
	panelWidth, panelHeight = 420, 330
	plotLeft, plotTop       = 58, 52
	plotWidth, plotHeight   = 336, 216
	headHeight, footHeight  = 66, 60
	leastShown, mostShown   = 1e-4, 0.3 // violations
)

// colours of the families; readable by those who do not tell red from green.
var colours = []string{"#8c8c8c", "#4c78a8", "#72b7b2", "#b279a2", "#9d755d"}

const (
	ink, faint, line = "#1f2937", "#6b7280", "#e5e7eb"
	own              = "#d9480f" // the learned estimator
)

// WriteSVG draws savings against violations: the classical estimators with all
// their parameters, those they were tuned to, the learned one at its target, and
// what could have been saved at most.
func (r *Report) WriteSVG(w io.Writer) error {
	groups := append(slices.Clone(r.Groups), r.Pooled)
	columns := min(len(groups), 3)
	rows := (len(groups) + columns - 1) / columns
	width, height := columns*panelWidth+20, headHeight+rows*panelHeight+footHeight
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="Inter, Helvetica, Arial, sans-serif" font-size="11" fill="%s">`+"\n",
		width, height, width, height, ink)
	b.WriteString(`<rect width="100%" height="100%" fill="white"/>` + "\n")
	text(&b, 24, 30, `font-size="17" font-weight="600"`, "What could be freed of what tasks were allocated, and how often that was too much")
	text(&b, 24, 50, `fill="`+faint+`"`, fmt.Sprintf("Up and to the left is better. Target: real use exceeds what was predicted in %s of predictions. %s.", share(r.Target), placements(len(r.Seeds))))
	for i, g := range groups {
		fmt.Fprintf(&b, `<g transform="translate(%d,%d)">`+"\n", i%columns*panelWidth, headHeight+i/columns*panelHeight)
		r.panel(&b, g)
		b.WriteString("</g>\n")
	}
	legend(&b, float64(headHeight+rows*panelHeight+18), columns)
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func placements(n int) string {
	if n == 1 {
		return "One placement"
	}
	return fmt.Sprintf("%d placements; bars are bootstrap 95 %% intervals over machines", n)
}

// text writes one line; style is more attributes.
func text(b *strings.Builder, x, y float64, style, s string) {
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" %s>%s</text>`+"\n", x, y, style, html.EscapeString(s))
}

func share(v float64) string { return fmt.Sprintf("%.3g %%", 100*v) }

func (r *Report) panel(b *strings.Builder, g Group) {
	title := map[string]string{"cpu": "CPU", "mem": "memory"}[g.Resource]
	text(b, plotLeft, 24, `font-size="14" font-weight="600"`, strings.TrimSpace(g.Trace+" "+title))
	text(b, plotLeft, 40, `fill="`+faint+`"`, subtitle(g))
	// The part beyond the target is no good.
	fmt.Fprintf(b, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="#fdf2ec"/>`+"\n", right(r.Target), plotTop, right(mostShown)-right(r.Target), plotHeight)
	for s := 0.0; s <= 1; s += 0.2 {
		fmt.Fprintf(b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="%s"/>`+"\n", plotLeft, plotLeft+plotWidth, up(s), up(s), line)
		text(b, plotLeft-7, up(s)+4, `text-anchor="end" fill="`+faint+`"`, fmt.Sprintf("%.0f %%", 100*s))
	}
	for _, v := range []float64{1e-4, 1e-3, 1e-2, 1e-1} {
		label := share(v)
		if v == leastShown {
			label = "≤ " + label
		}
		fmt.Fprintf(b, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="%s"/>`+"\n", right(v), right(v), plotTop, plotTop+plotHeight, line)
		text(b, right(v), plotTop+plotHeight+16, `text-anchor="middle" fill="`+faint+`"`, label)
	}
	text(b, plotLeft+plotWidth/2, plotTop+plotHeight+34, `text-anchor="middle" fill="`+faint+`"`, "violations")
	fmt.Fprintf(b, `<text transform="translate(14,%d) rotate(-90)" text-anchor="middle" fill="%s">savings</text>`+"\n", plotTop+plotHeight/2, faint)
	fmt.Fprintf(b, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="%s" stroke-dasharray="4 3"/>`+"\n", right(r.Target), right(r.Target), plotTop, plotTop+plotHeight, own)
	for i, c := range g.Curves {
		curve(b, c, colours[i%len(colours)])
	}
	for _, row := range g.Rows {
		mark(b, row)
	}
}

// subtitle says in a line what came out.
func subtitle(g Group) string {
	said := fmt.Sprintf("learned %.3f, %+.1f points on the best as tuned", g.Learned().Savings.Value, 100*g.OverTuned.Value)
	if g.Shape == nil {
		return said + "; mean of the groups"
	}
	return said
}

// curve draws a family with all its parameters, and a line through those that are
// worth having: what errs more often saves more.
func curve(b *strings.Builder, c Curve, colour string) {
	points := slices.Clone(c.Points)
	slices.SortFunc(points, func(a, b Point) int {
		return cmp.Or(cmp.Compare(a.Violations, b.Violations), cmp.Compare(a.Savings, b.Savings))
	})
	var path []string
	most := math.Inf(-1)
	for _, p := range points {
		if p.Savings > most {
			most = p.Savings
			path = append(path, fmt.Sprintf("%.1f,%.1f", right(p.Violations), up(p.Savings)))
		}
	}
	fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="1.4" stroke-opacity=".8"/>`+"\n", strings.Join(path, " "), colour)
	for _, p := range points {
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="1.7" fill="%s" fill-opacity=".7"><title>%s %s: savings %.3f, violations %.2f%%</title></circle>`+"\n",
			right(p.Violations), up(p.Savings), colour, html.EscapeString(c.Estimator), html.EscapeString(p.Parameter), p.Savings, 100*p.Violations)
	}
}

// mark draws a row that is compared: the learned estimator and the best classical
// one with its intervals, and the oracle as a line.
func mark(b *strings.Builder, row Row) {
	x, y := right(row.Violations.Value), up(row.Savings.Value)
	said := fmt.Sprintf("<title>%s: savings %.3f, violations %.2f%%</title>", html.EscapeString(strings.TrimSpace(row.Estimator+" "+row.Parameter)), row.Savings.Value, 100*row.Violations.Value)
	switch {
	case row.Estimator == oracle:
		fmt.Fprintf(b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="%s" stroke-dasharray="1 3">%s</line>`+"\n", plotLeft, plotLeft+plotWidth, y, y, ink, said)
	case row.Estimator == learned:
		intervals(b, row, own)
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="5" fill="%s" stroke="white" stroke-width="1.5">%s</circle>`+"\n", x, y, own, said)
	case row.Best == "tuned":
		intervals(b, row, ink)
		fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="8" height="8" fill="%s" stroke="white" stroke-width="1.5">%s</rect>`+"\n", x-4, y-4, ink, said)
	case row.Best == "hindsight":
		fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="8" height="8" fill="white" stroke="%s" stroke-width="1.5">%s</rect>`+"\n", x-4, y-4, ink, said)
	}
}

func intervals(b *strings.Builder, row Row, colour string) {
	fmt.Fprintf(b, `<path d="M%.1f,%.1fV%.1fM%.1f,%.1fH%.1f" stroke="%s" stroke-opacity=".6" stroke-width="1.4" fill="none"/>`+"\n",
		right(row.Violations.Value), up(row.Savings.Low), up(row.Savings.High),
		right(row.Violations.Low), up(row.Savings.Value), right(row.Violations.High), colour)
}

// legend names the colours and signs, on as many lines as the width asks for.
func legend(b *strings.Builder, y float64, columns int) {
	x := 0
	entry := func(sign, name string) {
		if x > 0 && x+150 > columns*panelWidth {
			x, y = 0, y+20
		}
		fmt.Fprintf(b, `<g transform="translate(%d,%.0f)">%s`, 24+x, y, sign)
		text(b, 24, 4, "", name)
		b.WriteString("</g>\n")
		x += 42 + 7*len(name)
	}
	entry(fmt.Sprintf(`<circle cx="9" r="5" fill="%s"/>`, own), "learned")
	entry(fmt.Sprintf(`<rect x="5" y="-4" width="8" height="8" fill="%s"/>`, ink), "best classical, as tuned")
	entry(fmt.Sprintf(`<rect x="5" y="-4" width="8" height="8" fill="white" stroke="%s" stroke-width="1.5"/>`, ink), "best classical, in hindsight")
	entry(fmt.Sprintf(`<line x2="18" stroke="%s" stroke-dasharray="1 3"/>`, ink), "oracle")
	for i, family := range families {
		entry(fmt.Sprintf(`<line x2="18" stroke="%s" stroke-width="2"/>`, colours[i]), family)
	}
}

func up(savings float64) float64 { return plotTop + plotHeight*(1-min(max(savings, 0), 1)) }

func right(violations float64) float64 {
	v := min(max(violations, leastShown), mostShown)
	return plotLeft + plotWidth*math.Log(v/leastShown)/math.Log(mostShown/leastShown)
}
