package oversubscription

import (
	"fmt"
	"html"
	"io"
	"math"
	"strings"
)

// The drawing: one panel a group; savings upwards, violations to the right in
// powers of ten.
const (
	panelWidth, panelHeight = 360, 260
	marginLeft, marginTop   = 48, 44
	plotWidth, plotHeight   = 290, 170
	leastShown, mostShown   = 1e-4, 0.3 // violations
)

var colours = []string{"#888888", "#1f77b4", "#17becf", "#2ca02c", "#9467bd"}

// WriteSVG draws savings against violations: the classical estimators with all
// their parameters, and the learned one at its target.
func (r *Report) WriteSVG(w io.Writer) error {
	groups := append(append([]Group{}, r.Groups...), r.Pooled)
	columns := min(len(groups), 3)
	rows := (len(groups) + columns - 1) / columns
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="11">`+"\n",
		columns*panelWidth, rows*panelHeight+30)
	b.WriteString(`<rect width="100%" height="100%" fill="white"/>` + "\n")
	for i, g := range groups {
		fmt.Fprintf(&b, `<g transform="translate(%d,%d)">`+"\n", i%columns*panelWidth, i/columns*panelHeight)
		r.panel(&b, g)
		b.WriteString("</g>\n")
	}
	legend(&b, rows*panelHeight+16)
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) panel(b *strings.Builder, g Group) {
	fmt.Fprintf(b, `<text x="%d" y="20" font-size="13">%s</text>`+"\n", marginLeft, html.EscapeString(strings.TrimSpace(g.Trace+" "+g.Resource)))
	fmt.Fprintf(b, `<rect x="%d" y="%d" width="%d" height="%d" fill="none" stroke="#ccc"/>`+"\n", marginLeft, marginTop, plotWidth, plotHeight)
	for s := 0.0; s <= 1; s += 0.2 {
		fmt.Fprintf(b, `<text x="%d" y="%.1f" text-anchor="end">%.1f</text>`+"\n", marginLeft-4, up(s)+4, s)
	}
	for _, v := range []float64{1e-4, 1e-3, 1e-2, 1e-1} {
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle">%g%%</text>`+"\n", right(v), marginTop+plotHeight+14, 100*v)
	}
	fmt.Fprintf(b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#d62728" stroke-dasharray="3"/>`+"\n",
		right(r.Target), marginTop, right(r.Target), marginTop+plotHeight)
	for i, c := range g.Curves {
		var points []string
		for _, p := range c.Points {
			points = append(points, fmt.Sprintf("%.1f,%.1f", right(p.Violations), up(p.Savings)))
		}
		fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s"/>`+"\n", strings.Join(points, " "), colours[i%len(colours)])
	}
	for _, row := range g.Rows {
		if row.Estimator == learned {
			fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="4" fill="#d62728"><title>learned: savings %.3f, violations %.2f%%</title></circle>`+"\n",
				right(row.Violations.Value), up(row.Savings.Value), row.Savings.Value, 100*row.Violations.Value)
		}
	}
}

func legend(b *strings.Builder, y int) {
	for i, family := range families {
		fmt.Fprintf(b, `<text x="%d" y="%d" fill="%s">%s</text>`+"\n", 20+i*90, y, colours[i], family)
	}
	fmt.Fprintf(b, `<text x="%d" y="%d" fill="#d62728">● learned</text>`+"\n", 20+len(families)*90, y)
}

func up(savings float64) float64 { return marginTop + plotHeight*(1-min(max(savings, 0), 1)) }

func right(violations float64) float64 {
	v := min(max(violations, leastShown), mostShown)
	return marginLeft + plotWidth*math.Log(v/leastShown)/math.Log(mostShown/leastShown)
}
