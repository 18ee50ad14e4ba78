package daemon

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// describedMetric is a metric as Prometheus describes it.
type describedMetric struct {
	name, help, kind string
	labels           []string
}

var described = regexp.MustCompile(`^Desc\{fqName: "([^"]+)", help: "([^"]+)", (?:unit: "[^"]*", )?constLabels: \{\}, variableLabels: \{([^}]*)\}\}$`)

func describeMetric(t *testing.T, d *prometheus.Desc, kind string) describedMetric {
	t.Helper()
	m := described.FindStringSubmatch(d.String())
	if m == nil {
		t.Fatalf("cannot read %s", d)
	}
	got := describedMetric{name: m[1], help: m[2], kind: kind}
	if m[3] != "" {
		got.labels = strings.Split(m[3], ",")
	}
	return got
}

// allMetrics are all metrics of the daemon.
func allMetrics(t *testing.T) []describedMetric {
	t.Helper()
	var list []describedMetric
	describe := func(c prometheus.Collector, kind string) {
		ch := make(chan *prometheus.Desc, 64)
		c.Describe(ch)
		close(ch)
		for d := range ch {
			list = append(list, describeMetric(t, d, kind))
		}
	}
	m := newMetrics(prometheus.NewRegistry())
	for _, c := range []*prometheus.CounterVec{m.purchases, m.ordersFinished, m.pluginFailures, m.pluginStarts, m.deployments, m.reloads} {
		describe(c, "counter")
	}
	describe(m.lastSweep, "gauge")
	describe(m.sweepTook, "gauge")
	describe(newCollector(nil), "gauge")
	return list
}

// oneOfEach collects one value of every metric, so that the linter sees all of them.
type oneOfEach []describedMetric

func (o oneOfEach) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(o, ch) }

func (o oneOfEach) Collect(ch chan<- prometheus.Metric) {
	for _, m := range o {
		kind := prometheus.GaugeValue
		if m.kind == "counter" {
			kind = prometheus.CounterValue
		}
		values := make([]string, len(m.labels))
		ch <- prometheus.MustNewConstMetric(prometheus.NewDesc(m.name, m.help, m.labels, nil), kind, 1, values...)
	}
}

func TestMetricsFollowTheRules(t *testing.T) {
	list := allMetrics(t)
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(oneOfEach(list))
	families, err := r.Gather()
	if err != nil || len(families) != len(list) {
		t.Fatalf("%d metrics gathered of %d: %v", len(families), len(list), err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	// Few and bounded: names from the configuration and closed lists.
	bounded := []string{"certificate", "account", "kind", "phase", "plugin", "instance", "outcome", "reason", "version"}
	for _, m := range list {
		if !strings.HasPrefix(m.name, "certbridged_") {
			t.Errorf("%s: its name does not begin with certbridged_", m.name)
		}
		for _, l := range m.labels {
			if !slices.Contains(bounded, l) {
				t.Errorf("%s: the label %s is not known to be bounded", m.name, l)
			}
		}
	}
}

func TestMetricsAreDocumented(t *testing.T) {
	document := read(t, "../../docs/operations.md")
	for _, m := range allMetrics(t) {
		row := "| `" + m.name + "` | " + m.kind + " | " + strings.Join(m.labels, ", ") + " " + "| " + m.help + " |"
		row = strings.ReplaceAll(row, "|  |", "| |")
		if !strings.Contains(document, row+"\n") {
			t.Errorf("docs/operations.md lacks the row\n%s", row)
		}
	}
	if rows := strings.Count(document, "\n| `certbridged_"); rows != len(allMetrics(t)) {
		t.Errorf("docs/operations.md has %d metrics, the daemon %d", rows, len(allMetrics(t)))
	}
}

func TestAlertRulesAskForMetricsThatExist(t *testing.T) {
	rules := read(t, "../../examples/alerts/certbridged.rules.yml")
	used := regexp.MustCompile(`certbridged_[a-z_]+`).FindAllString(rules, -1)
	if len(used) < 8 {
		t.Fatalf("only %d metrics in the rules", len(used))
	}
	names := map[string]bool{}
	for _, m := range allMetrics(t) {
		names[m.name] = true
	}
	for _, name := range used {
		if !names[name] {
			t.Errorf("the alert rules ask for %s, which the daemon does not have", name)
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
