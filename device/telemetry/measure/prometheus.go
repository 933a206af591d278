package measure

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Collector shows the newest sample to Prometheus. It implements
// prometheus.Collector; nothing is measured when Prometheus asks, so that
// scraping often costs little.
type Collector struct {
	latest func() *Sample // nil: there is none yet

	mu    sync.Mutex
	descs map[string]*prometheus.Desc
}

// NewCollector returns a Collector of what latest returns.
func NewCollector(latest func() *Sample) *Collector {
	return &Collector{latest: latest, descs: map[string]*prometheus.Desc{}}
}

// Describe implements prometheus.Collector: the series depend on the
// configuration, so none is promised beforehand.
func (*Collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	s := c.latest()
	if s == nil {
		return
	}
	for i := range s.Series {
		ser := &s.Series[i]
		kind := prometheus.GaugeValue
		if ser.Kind == Counter {
			kind = prometheus.CounterValue
		}
		values := make([]string, len(ser.Labels))
		for j := range ser.Labels {
			values[j] = ser.Labels[j].Value
		}
		m, err := prometheus.NewConstMetric(c.desc(ser), kind, s.Values[i], values...)
		if err != nil {
			m = prometheus.NewInvalidMetric(c.desc(ser), err)
		}
		ch <- m
	}
}

// desc is the series' metric as Prometheus describes it.
func (c *Collector) desc(s *Series) *prometheus.Desc {
	c.mu.Lock()
	defer c.mu.Unlock()
	d, ok := c.descs[s.Name]
	if !ok {
		def, _ := Lookup(s.Name)
		labels := make([]string, len(def.Labels))
		for i, l := range def.Labels {
			labels[i] = PrometheusLabel(l)
		}
		help := def.Text
		if def.Like != "" {
			help += " (" + def.Like + ")"
		}
		d = prometheus.NewDesc(def.PrometheusName(), help, labels, nil)
		c.descs[s.Name] = d
	}
	return d
}
