package web

import (
	"time"

	"quartet/device/control"
)

// None is a request without a body or query, or an answer without a body.
type None struct{}

// State is what everybody may know of the box, before any login.
type State struct {
	Claimed      bool      `json:"claimed" doc:"false: nobody has set up the box yet; POST /claim with the code on its label"`
	Name         string    `json:"name" doc:"of the box, as its settings have it"`
	Serial       string    `json:"serial"`
	Product      string    `json:"product"`
	Version      string    `json:"version" doc:"of the software"`
	Time         time.Time `json:"time" doc:"of the box's clock"`
	Synchronised bool      `json:"clock_synchronised" doc:"false: the clock has not been set by a time server since the start"`
	Languages    []string  `json:"languages" doc:"of the page"`
	Language     string    `json:"language" doc:"that the settings choose for the page"`
}

// Overview is the whole box at one moment: what the first page shows, and what
// the event stream repeats each second.
type Overview struct {
	Time             time.Time         `json:"time"`
	Name             string            `json:"name"`
	Box              *control.Status   `json:"box" doc:"the media plane's own state; null while it does not answer"`
	BoxError         string            `json:"box_error,omitempty" doc:"why box is null"`
	Worst            string            `json:"worst" enum:"info|warning|minor|major|critical" doc:"highest severity of the active conditions; info if there is none"`
	Conditions       []Condition       `json:"conditions" doc:"active ones of all parts of the box, worst first"`
	System           System            `json:"system"`
	Telemetry        TelemetryState    `json:"telemetry"`
	Network          NetworkState      `json:"network"`
	SharedInterfaces []SharedInterface `json:"shared_interfaces" doc:"interfaces that redundant paths share"`
	ConfigRevision   string            `json:"config_revision" doc:"of the stored document; another one means that somebody has saved"`
	Update           Update            `json:"update"`
}

// Condition is a condition of any part of the box.
type Condition struct {
	control.Condition
	Source string `json:"source" doc:"part that raised it: media, manage, network, telemetry"`
}

// System is the machine.
type System struct {
	CPUPercent   float64  `json:"cpu_percent" doc:"of all cores together, 0…100, of the last second"`
	MemoryMiB    int      `json:"memory_mib" doc:"in use"`
	TotalMiB     int      `json:"memory_total_mib"`
	TemperatureC *float64 `json:"temperature_c" doc:"hottest sensor; null where there is none"`
	UptimeS      float64  `json:"uptime_s" doc:"of the machine"`
	BootID       string   `json:"boot_id"`
	Load1        float64  `json:"load1"`
}

// TelemetryState is how the box's reports get home.
type TelemetryState struct {
	State         string     `json:"state" enum:"off|ok|waiting|failing" doc:"off: not set up; waiting: records are queued, and the server does not answer at the moment"`
	Endpoint      string     `json:"endpoint,omitempty"`
	QueuedRecords int64      `json:"queued_records"`
	QueuedBytes   int64      `json:"queued_bytes"`
	OldestQueued  *time.Time `json:"oldest_queued"`
	LastContact   *time.Time `json:"last_contact" doc:"when the server took records last"`
	LastError     string     `json:"last_error,omitempty"`
	Gaps          int64      `json:"gaps" doc:"times that records had to be thinned out or thrown away"`
}

// NetworkState is what the network is like now.
type NetworkState struct {
	Links        []Link          `json:"links"`
	Pending      *NetworkPending `json:"pending" doc:"settings that are tried out and revert unless confirmed"`
	Error        string          `json:"error,omitempty" doc:"why nothing is known, such as that the network helper does not answer"`
	Synchronised bool            `json:"clock_synchronised"`
	TimeServer   string          `json:"time_server,omitempty"`
}

// Link is a network interface.
type Link struct {
	Name      string   `json:"name"`
	MAC       string   `json:"mac,omitempty"`
	Kind      string   `json:"kind,omitempty" doc:"ethernet, vlan, loopback, …"`
	Up        bool     `json:"up"`
	Carrier   bool     `json:"carrier" doc:"a cable is plugged in and the far end is on"`
	SpeedMbps int      `json:"speed_mbps" doc:"0: not known"`
	MTU       int      `json:"mtu"`
	Addresses []string `json:"addresses" doc:"with prefix lengths"`
	Gateways  []string `json:"gateways"`
	DNS       []string `json:"dns"`
	RxBPS     int64    `json:"rx_bps" doc:"of the last seconds"`
	TxBPS     int64    `json:"tx_bps"`
	RxErrors  uint64   `json:"rx_errors_total"`
	TxErrors  uint64   `json:"tx_errors_total"`
}

// NetworkPending is a change of the network that waits for its confirmation.
type NetworkPending struct {
	Deadline  time.Time `json:"deadline" doc:"when the settings before come back by themselves"`
	Remaining float64   `json:"remaining_s"`
	Changed   []string  `json:"changed" doc:"interfaces; *: all without an entry"`
	Addresses []string  `json:"addresses" doc:"URLs under which the page is to be found now"`
	Moved     bool      `json:"moved"`
}

// SharedInterface is a network interface that more than one path uses.
type SharedInterface struct {
	Interface string   `json:"interface"`
	Paths     []string `json:"paths"`
}

// Conditions is the list of conditions of all parts, the cleared ones of late
// among them.
type Conditions struct {
	Worst string      `json:"worst" enum:"info|warning|minor|major|critical"`
	List  []Condition `json:"conditions" doc:"active ones first, worst first"`
}

// Notice is an event of the stream that is no condition: something was done.
type Notice struct {
	Time   time.Time `json:"time"`
	Action string    `json:"action" doc:"as in the audit log: config.save, network.apply, …"`
	Actor  string    `json:"actor"`
	Text   string    `json:"text"`
}

// Bye ends the event stream.
type Bye struct {
	Reason string `json:"reason" enum:"expired|logout|restart" doc:"expired: the session ended for want of activity"`
}

// HistoryQuery asks for the plots of the last day.
type HistoryQuery struct {
	Series string `json:"series" len:"0..2000" doc:"names with commas between them; none: a list of all names without points"`
	From   int64  `json:"from" range:"0..9999999999" doc:"Unix seconds; 0: an hour before to"`
	To     int64  `json:"to" range:"0..9999999999" doc:"Unix seconds; 0: now"`
	Step   int    `json:"step" range:"0..3600" doc:"seconds between points; 0: chosen so that there are at most 720"`
}

// History is the points of some series.
type History struct {
	From   time.Time         `json:"from" doc:"of the first point"`
	StepS  int               `json:"step_s"`
	Series map[string]Series `json:"series"`
}

// Series is one line of a plot.
type Series struct {
	Unit   string     `json:"unit"`
	Points []*float64 `json:"points" doc:"null: nothing was measured"`
}

// TelemetryInfo is the state of telemetry in full.
type TelemetryInfo struct {
	TelemetryState
	Availability []Availability `json:"availability"`
}

// Availability is how a path, leg or pair has done against its aim.
type Availability struct {
	Resource string  `json:"resource" doc:"path/1a, leg/1, pair"`
	WindowS  float64 `json:"window_s" doc:"time that is looked at"`
	Percent  float64 `json:"percent"`
	Target   float64 `json:"target_percent"`
	ErrorS   float64 `json:"error_seconds"`
}
