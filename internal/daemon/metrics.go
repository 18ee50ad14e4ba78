package daemon

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/certbridge/certbridged/internal/order"
	"github.com/certbridge/certbridged/internal/pluginhost"
)

// metrics are what Prometheus reads. Labels are names from the configuration and closed lists, never text from outside.
type metrics struct {
	purchases      *prometheus.CounterVec
	ordersFinished *prometheus.CounterVec
	pluginFailures *prometheus.CounterVec
	pluginStarts   *prometheus.CounterVec
	deployments    *prometheus.CounterVec
	reloads        *prometheus.CounterVec
	lastSweep      prometheus.Gauge
	sweepTook      prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		purchases: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "certbridged_purchases_total", Help: "Paid orders that were sent to a CA.",
		}, []string{"account", "kind"}),
		ordersFinished: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "certbridged_orders_finished_total", Help: "Orders that came to an end, by the phase they ended in.",
		}, []string{"account", "kind", "phase"}),
		pluginStarts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "certbridged_plugin_starts_total", Help: "Plugin processes started.",
		}, []string{"plugin", "instance"}),
		pluginFailures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "certbridged_plugin_failures_total", Help: "Plugin processes that crashed, hung or could not be started.",
		}, []string{"plugin", "instance"}),
		deployments: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "certbridged_deployments_total", Help: "Deployments, by outcome: ok, or the stage that failed.",
		}, []string{"certificate", "outcome"}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "certbridged_configuration_reloads_total", Help: "Configuration reloads, by outcome.",
		}, []string{"outcome"}),
		lastSweep: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "certbridged_last_sweep_timestamp_seconds", Help: "When all certificates were last looked at.",
		}),
		sweepTook: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "certbridged_last_sweep_duration_seconds", Help: "How long the last rescan of all files took that came to its end.",
		}),
	}
	r.MustRegister(m.purchases, m.ordersFinished, m.pluginStarts, m.pluginFailures, m.deployments, m.reloads, m.lastSweep, m.sweepTook)
	return m
}

func (m *metrics) orderChanged(before, after order.Record) {
	if after.Step == "sending" && after.Buys() && before.SentAt.IsZero() {
		m.purchases.WithLabelValues(after.Account, after.Kind.String()).Inc()
	}
	if after.Phase.Final() && !before.Phase.Final() {
		m.ordersFinished.WithLabelValues(after.Account, after.Kind.String(), string(after.Phase)).Inc()
	}
}

func (m *metrics) deployed(certificate string, d order.Deployment) {
	outcome := "ok"
	if !d.OK {
		outcome = d.Stage
	}
	m.deployments.WithLabelValues(certificate, outcome).Inc()
}

func (m *metrics) plugin(e pluginhost.Event) {
	switch e.Kind {
	case pluginhost.EventStarted:
		m.pluginStarts.WithLabelValues(e.Plugin, e.Instance).Inc()
	case pluginhost.EventFailed, pluginhost.EventQuarantined:
		m.pluginFailures.WithLabelValues(e.Plugin, e.Instance).Inc()
	}
}

// collector reads what changes by itself when Prometheus asks, so that no gauge can go stale.
type collector struct {
	daemon *Daemon

	expiry, notBefore, success, next, orders, holds, deployOK, coverage, build *prometheus.Desc
}

func newCollector(d *Daemon) *collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("certbridged_"+name, help, labels, nil)
	}
	return &collector{
		daemon:    d,
		expiry:    desc("certificate_expiry_timestamp_seconds", "When the certificate on disk expires.", "certificate"),
		notBefore: desc("certificate_not_before_timestamp_seconds", "From when the certificate on disk is valid.", "certificate"),
		success:   desc("certificate_last_success_timestamp_seconds", "When the certificate was last deployed.", "certificate"),
		next:      desc("certificate_next_action_timestamp_seconds", "When something is next to be done for the certificate.", "certificate"),
		deployOK:  desc("certificate_deploy_ok", "Whether the last deployment succeeded: 1 or 0.", "certificate"),
		coverage:  desc("certificate_coverage_end_timestamp_seconds", "Until when the paid plan of the certificate's last order lasts.", "certificate"),
		orders:    desc("orders", "Open orders, by phase and kind.", "phase", "kind"),
		holds:     desc("orders_held", "Orders that wait for a person, by what for.", "reason"),
		build:     desc("build_info", "The daemon's version; always 1.", "version"),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.expiry, c.notBefore, c.success, c.next, c.deployOK, c.coverage, c.orders, c.holds, c.build} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	at := func(d *prometheus.Desc, t time.Time, labels ...string) {
		if !t.IsZero() {
			gauge(d, float64(t.Unix()), labels...)
		}
	}
	gauge(c.build, 1, c.daemon.opts.Version)
	open := map[[2]string]int{}
	holds := map[string]int{}
	for _, r := range c.daemon.engine.Working() {
		if r.Phase.Final() {
			continue
		}
		open[[2]string{string(r.Phase), r.Kind.String()}]++
		if r.Hold != nil {
			holds[string(r.Hold.Kind)]++
		}
	}
	for k, n := range open {
		gauge(c.orders, float64(n), k[0], k[1])
	}
	for k, n := range holds {
		gauge(c.holds, float64(n), k)
	}
	config := c.daemon.setup.Load().config
	for n := range config.Len() {
		name := config.Name(n)
		look, ok := c.daemon.lookOf(name)
		if !ok {
			continue
		}
		if look.Leaf != nil {
			at(c.expiry, look.Leaf.NotAfter, name)
			at(c.notBefore, look.Leaf.NotBefore, name)
		}
		at(c.next, c.daemon.nextAction(name), name)
		h := c.daemon.engine.History(name)
		at(c.success, h.DeployedAt, name)
		if h.Deploy != nil {
			gauge(c.deployOK, map[bool]float64{true: 1}[h.Deploy.OK], name)
		}
		if h.Last != nil {
			at(c.coverage, h.Last.CoverageEnd, name)
		}
	}
}
