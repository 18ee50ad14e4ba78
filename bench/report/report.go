// Package report holds what a benchmark measured: one table for people, JSON for programs, and how each figure grows with
// the number of certificates.
package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Row is one figure.
type Row struct {
	// Part is the letter of the part, What the figure in words, the same at every size.
	Part string `json:"part"`
	What string `json:"what"`
	// N is for how many certificates it was measured.
	N     int     `json:"n,omitempty"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	// Target is what is wanted; nil where nothing is.
	Target *Target `json:"target,omitempty"`
	// Note says what else is to be known.
	Note string `json:"note,omitempty"`
}

// Target is what is wanted of a figure.
type Target struct {
	AtLeast bool    `json:"at_least"`
	Value   float64 `json:"value"`
}

// AtLeast and AtMost make targets.
func AtLeast(v float64) *Target { return &Target{AtLeast: true, Value: v} }

// AtMost makes a target.
func AtMost(v float64) *Target { return &Target{Value: v} }

// Met reports whether a figure is as wanted.
func (t Target) Met(v float64) bool { return t.AtLeast && v >= t.Value || !t.AtLeast && v <= t.Value }

func (t Target) String() string {
	if t.AtLeast {
		return "≥ " + number(t.Value)
	}
	return "≤ " + number(t.Value)
}

// Machine is where it was measured.
type Machine struct {
	CPU     string `json:"cpu"`
	Cores   int    `json:"cores"`
	Kernel  string `json:"kernel"`
	Disk    string `json:"file_system"`
	Go      string `json:"go"`
	Version string `json:"version"`
	// Load is how much else the machine had to do as the run began: its load average of one minute.
	Load string `json:"load"`
}

// Report is one run.
type Report struct {
	Began   time.Time `json:"began"`
	Machine Machine   `json:"machine"`
	Rows    []Row     `json:"rows"`
	// Progress is told every row as it is added.
	Progress io.Writer `json:"-"`
}

// Add adds a row.
func (r *Report) Add(row Row) {
	r.Rows = append(r.Rows, row)
	if r.Progress != nil {
		fmt.Fprintf(r.Progress, "  (%s) %s, %d: %s %s %s\n", row.Part, row.What, row.N, number(row.Value), row.Unit, row.Note)
	}
}

// Table prints all rows.
func (r *Report) Table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PART\tWHAT\tN\tVALUE\tUNIT\tTARGET\tMET\tNOTE")
	for _, row := range r.Rows {
		n, target, met := "", "", ""
		if row.N > 0 {
			n = strconv.Itoa(row.N)
		}
		if row.Target != nil {
			target, met = row.Target.String(), map[bool]string{true: "yes", false: "no"}[row.Target.Met(row.Value)]
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", row.Part, row.What, n, number(row.Value), row.Unit, target, met, row.Note)
	}
	return t.Flush()
}

// JSON writes all.
func (r *Report) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// number prints a figure with three digits that count.
func number(v float64) string {
	switch a := math.Abs(v); {
	case a == 0 || a >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case a >= 1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	default:
		return strings.TrimRight(strings.TrimRight(strconv.FormatFloat(v, 'f', 5, 64), "0"), ".")
	}
}

// growing are the units of figures that say what many certificates cost as a whole: to have one exponent for all, those
// that say it otherwise, such as a share or a rate, are left out.
var growing = []string{"s", "ms", "MB", "CPU s", "CPU ms"}

// Grow adds for each figure that was measured at more than one size how it grows: the exponent of the power of the number
// of certificates that fits best, 1 where twice as many cost twice as much.
func (r *Report) Grow() {
	type figure struct{ part, what, unit string }
	sizes := map[figure][]Row{}
	var order []figure
	for _, row := range r.Rows {
		f := figure{row.Part, row.What, row.Unit}
		if row.N == 0 || !slices.Contains(growing, row.Unit) {
			continue
		}
		if sizes[f] == nil {
			order = append(order, f)
		}
		sizes[f] = append(sizes[f], row)
	}
	slices.SortStableFunc(order, func(a, b figure) int { return cmp.Compare(a.part, b.part) })
	for _, f := range order {
		points := make(map[float64]float64)
		var at []string
		for _, row := range sizes[f] {
			points[float64(row.N)] = row.Value
			at = append(at, strconv.Itoa(row.N))
		}
		if exponent, ok := Exponent(points); ok {
			r.Add(Row{
				Part: "h", What: "(" + f.part + ") " + f.what + ": grows with N to the power", Value: exponent, Unit: "",
				Target: AtMost(1.1), Note: "at " + strings.Join(slices.Compact(at), ", "),
			})
		}
	}
}

// Exponent fits value = a·N^b by least squares over the logarithms and returns b. It needs two sizes, and values above
// zero.
func Exponent(points map[float64]float64) (float64, bool) {
	var n, sx, sy, sxx, sxy float64
	for size, value := range points {
		if size <= 0 || value <= 0 {
			return 0, false
		}
		x, y := math.Log(size), math.Log(value)
		n, sx, sy, sxx, sxy = n+1, sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	if n < 2 || n*sxx-sx*sx == 0 {
		return 0, false
	}
	return (n*sxy - sx*sy) / (n*sxx - sx*sx), true
}
