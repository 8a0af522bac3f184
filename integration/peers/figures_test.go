package peers

import (
	"context"
	"fmt"
	"image/color"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/netoauth/netoauth"
	"github.com/netoauth/netoauth/internal/suite/scenario"
	"golang.org/x/oauth2"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// The figures that the README shows.
const (
	overloadFigure = "overload.svg"
	waitedFigure   = "waited.svg"
)

var (
	blue   = color.RGBA{R: 0x1f, G: 0x6f, B: 0xeb, A: 0xff}
	orange = color.RGBA{R: 0xd9, G: 0x6c, B: 0x06, A: 0xff}
)

// drawn is the overload of overloadFigure: the one in which a refusal costs the endpoint work.
var drawn = slices.IndexFunc(scenario.Overloads[:], func(o scenario.Overload) bool { return o.RefusalCost > 0 })

// counted is s with its token requests in each second of virtual time added to count.
func counted(s scenario.Subject, count *[]int) scenario.Subject {
	var mu sync.Mutex
	return func(ctx context.Context, key *netoauth.APIKey) *http.Client {
		c := &http.Client{Transport: counter{contextClient(ctx).Transport, &mu, count}}
		return s(context.WithValue(ctx, oauth2.HTTPClient, c), key)
	}
}

type counter struct {
	base  http.RoundTripper
	mu    *sync.Mutex
	count *[]int
}

func (c counter) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodPost { // the scenarios' other requests are GETs
		c.add()
	}
	return c.base.RoundTrip(req)
}

// add counts a request now. The clock of a synctest bubble begins with the year 2000.
func (c counter) add() {
	second := int(time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).Seconds())
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(*c.count) <= second {
		*c.count = append(*c.count, 0)
	}
	(*c.count)[second]++
}

// draw writes the figures from the runs of all subjects.
func draw(t *testing.T, runs [][]figures) {
	drawOverload(t, runs)
	drawWaited(t, runs)
}

// drawOverload draws the token requests a second of netoauth and of x/oauth2.
func drawOverload(t *testing.T, runs [][]figures) {
	p := newPlot()
	p.Title.Text = "Token requests a second: 2000 clients start at an endpoint that\nissues 100 tokens a second, or refuses 1000 requests"
	p.X.Label.Text = "seconds since the first client started"
	for i, c := range []color.Color{blue, orange} {
		f := runs[i][0]
		var points plotter.XYs
		for second, n := range f.asked {
			points = append(points, plotter.XY{X: float64(second), Y: float64(n)})
		}
		line, err := plotter.NewLine(points)
		if err != nil {
			t.Fatal(err)
		}
		line.Color, line.Width = c, vg.Points(2)
		p.Add(line)
		ends := "nobody is served, given up"
		if served := f.overloads[drawn].Served; served != scenario.Never {
			ends = fmt.Sprintf("all served after %.0f s", served.Seconds())
		}
		p.Legend.Add(subjects[i].name+": "+ends, line)
	}
	save(t, p, overloadFigure)
}

// drawWaited draws, for each subject, the requests that waited for a renewal.
func drawWaited(t *testing.T, runs [][]figures) {
	p := newPlot()
	p.Title.Text = "Requests that waited for a renewal"
	var names []string
	for _, s := range subjects {
		names = append(names, s.name)
	}
	p.NominalX(names...)
	width := vg.Points(24)
	for i, r := range rows[:2] { // those that waited
		values := make(plotter.Values, len(subjects))
		labels := plotter.XYLabels{}
		for j := range subjects {
			n := r.figure(worst(runs[j], r))
			values[j] = float64(n)
			labels.XYs = append(labels.XYs, plotter.XY{X: float64(j), Y: float64(n)})
			labels.Labels = append(labels.Labels, strconv.Itoa(n))
		}
		bars, err := plotter.NewBarChart(values, width)
		if err != nil {
			t.Fatal(err)
		}
		bars.Color, bars.LineStyle.Width = []color.Color{blue, orange}[i], 0
		bars.Offset = width * vg.Length(2*i-1) / 2
		above, err := plotter.NewLabels(labels)
		if err != nil {
			t.Fatal(err)
		}
		above.Offset.X, above.Offset.Y = bars.Offset-vg.Points(4), vg.Points(3)
		for k := range above.TextStyle {
			above.TextStyle[k].Font.Variant = "Sans"
		}
		p.Add(bars, above)
		p.Legend.Add([]string{"30 min of 5-min tokens", "10 min of 1-min tokens"}[i], bars)
	}
	save(t, p, waitedFigure)
}

func newPlot() *plot.Plot {
	p := plot.New()
	for _, text := range []*font.Font{
		&p.Title.TextStyle.Font, &p.X.Label.TextStyle.Font, &p.X.Tick.Label.Font, &p.Y.Tick.Label.Font, &p.Legend.TextStyle.Font,
	} {
		text.Variant = "Sans"
	}
	p.X.Tick.Marker, p.Y.Tick.Marker = wholeTicks{}, wholeTicks{}
	p.X.Min, p.Y.Min = 0, 0
	p.Title.Padding, p.Legend.Top = vg.Points(8), true
	return p
}

// wholeTicks are plot's own with their numbers whole.
type wholeTicks struct{ plot.DefaultTicks }

func (w wholeTicks) Ticks(lo, hi float64) []plot.Tick {
	ticks := w.DefaultTicks.Ticks(lo, hi)
	for i := range ticks {
		if ticks[i].Label != "" {
			ticks[i].Label = strconv.Itoa(int(ticks[i].Value))
		}
	}
	return ticks
}

func save(t *testing.T, p *plot.Plot, file string) {
	p.Y.Max *= 1.25 // room for the legend
	if err := p.Save(17*vg.Centimeter, 9*vg.Centimeter, file); err != nil {
		t.Fatal(err)
	}
}
