package report

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
)

func TestExponent(t *testing.T) {
	for want, f := range map[float64]func(float64) float64{
		0: func(float64) float64 { return 7 }, 1: func(n float64) float64 { return 3 * n },
		2: func(n float64) float64 { return n * n / 50 }, 0.5: math.Sqrt,
	} {
		points := map[float64]float64{}
		for _, n := range []float64{100, 300, 1000, 10000} {
			points[n] = f(n)
		}
		if got, ok := Exponent(points); !ok || math.Abs(got-want) > 1e-9 {
			t.Errorf("%g: %g, %v", want, got, ok)
		}
	}
	for name, points := range map[string]map[float64]float64{"none": {}, "one": {10: 1}, "zero": {10: 0, 20: 1}} {
		if _, ok := Exponent(points); ok {
			t.Errorf("%s: there is no exponent", name)
		}
	}
}

func TestReport(t *testing.T) {
	var r Report
	r.Add(Row{Part: "b", What: "all", N: 100, Value: 1, Unit: "s", Target: AtMost(2)})
	r.Add(Row{Part: "b", What: "all", N: 1000, Value: 100, Unit: "s", Target: AtMost(2)})
	r.Add(Row{Part: "b", What: "rate", N: 1000, Value: 10, Unit: "1/s", Target: AtLeast(20)})
	r.Grow()
	if len(r.Rows) != 4 || math.Abs(r.Rows[3].Value-2) > 1e-9 || r.Rows[3].Target.Met(2) {
		t.Errorf("%+v", r.Rows)
	}
	var table, text bytes.Buffer
	if err := r.Table(&table); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(table.String(), "\n")
	if len(lines) != 6 || !strings.Contains(lines[1], "yes") || !strings.Contains(lines[2], "no") || !strings.Contains(lines[3], "≥ 20") {
		t.Error(table.String())
	}
	if err := r.JSON(&text); err != nil || !json.Valid(text.Bytes()) {
		t.Errorf("%v: %s", err, &text)
	}
}
