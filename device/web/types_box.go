package web

import (
	"time"

	"quartet/device/config"
)

// NetworkConfig is the network's settings and state.
type NetworkConfig struct {
	Revision string          `json:"revision" doc:"for If-Match; also the answer's ETag"`
	Settings NetworkSettings `json:"settings" doc:"the confirmed ones"`
	State    NetworkState    `json:"state"`
}

// NetworkSettings is how the box is connected.
type NetworkSettings struct {
	Version    int                `json:"version" required:"yes" enum:"1" doc:"schema version; this program reads 1"`
	Hostname   string             `json:"hostname" doc:"name of the box in the network, and with .local behind it in mDNS; absent: quartet-<serial>"`
	Timezone   string             `json:"timezone" default:"UTC" doc:"IANA name, such as Europe/Berlin"`
	NTP        []string           `json:"ntp" len:"0..8" doc:"time servers, by name or address; none: those that DHCP names, else those built into the image"`
	Others     string             `json:"others" default:"auto" enum:"auto|off" doc:"what becomes of ports that are not listed: auto takes an address by DHCP, else a link-local one; off leaves them down"`
	Interfaces []NetworkInterface `json:"interfaces" len:"0..32" doc:"ports and VLANs with settings of their own"`
}

// NetworkInterface is the settings of one port, or of one VLAN on it.
type NetworkInterface struct {
	Name      string         `json:"name" required:"yes" doc:"of the port, such as eth0, or of a VLAN: eth0.20"`
	DHCP4     bool           `json:"dhcp4" doc:"ask for an IPv4 address by DHCP; without an answer a link-local one"`
	IPv6      string         `json:"ipv6" default:"auto" enum:"auto|static|off" doc:"auto takes what routers advertise; static has the addresses below alone"`
	Addresses []string       `json:"addresses" len:"0..16" doc:"fixed addresses with prefix length: 192.0.2.10/24"`
	Gateway   string         `json:"gateway" format:"ip" doc:"default gateway for IPv4"`
	Gateway6  string         `json:"gateway6" format:"ip" doc:"default gateway for IPv6"`
	Metric    int            `json:"metric" range:"0..9999" doc:"preference of this port's default gateway, the lowest is used; 0: by the order of the list"`
	DNS       []string       `json:"dns" len:"0..4" doc:"name servers; none: those that DHCP or routers name"`
	MTU       int            `json:"mtu" default:"1500" range:"576..9216"`
	Routes    []NetworkRoute `json:"routes" len:"0..64"`
	VLANs     []int          `json:"vlans" range:"1..4094" doc:"numbers of the VLANs on this port; each has an entry of its own in interfaces, named eth0.20"`
	MDNS      bool           `json:"mdns" default:"true" doc:"answer to the box's name on this port"`
}

// NetworkRoute is a way to a network that is not the default gateway's.
type NetworkRoute struct {
	To     string `json:"to" required:"yes" doc:"198.51.100.0/24"`
	Via    string `json:"via" format:"ip" doc:"the router; absent: the network is on the cable"`
	Metric int    `json:"metric" range:"0..9999" doc:"0: the interface's"`
}

// NetworkTrial is a change of the network that has been put into force and
// reverts unless it is confirmed.
type NetworkTrial struct {
	Token     string         `json:"token" doc:"for POST /network/confirm; empty: the settings change nothing, there is nothing to confirm"`
	Deadline  time.Time      `json:"deadline"`
	Remaining float64        `json:"remaining_s"`
	Changed   []string       `json:"changed" doc:"interfaces; *: all without an entry"`
	Addresses []string       `json:"addresses" doc:"URLs under which the page is to be found now"`
	Moved     bool           `json:"moved" doc:"the interface changes over which the request came: the confirmation must come over a changed one"`
	Warnings  []config.Issue `json:"warnings"`
}

// Confirm makes a change of the network last.
type Confirm struct {
	Token string `json:"token" required:"yes" len:"1..128"`
}

// Settings are those of the management plane.
type Settings struct {
	Revision string         `json:"revision" doc:"for If-Match; also the answer's ETag"`
	Settings ManageSettings `json:"settings"`
}

// ManageSettings is what may be set of the management plane.
type ManageSettings struct {
	Name      string            `json:"name" required:"yes" format:"name" doc:"of the box, on the page and in telemetry"`
	Language  string            `json:"language" default:"en" enum:"en|de" doc:"of the page where the browser asks for none that it has"`
	Telemetry TelemetrySettings `json:"telemetry"`
	Update    UpdateSettings    `json:"update"`
	Page      PageSettings      `json:"page"`
	Support   SupportSettings   `json:"support"`
}

// TelemetrySettings is where reports go.
type TelemetrySettings struct {
	Enabled   bool   `json:"enabled"`
	Endpoint  string `json:"endpoint" len:"0..300" doc:"https://collector.example.net:4318, an OpenTelemetry Collector's OTLP/HTTP"`
	IntervalS int    `json:"interval_s" default:"10" range:"1..300"`
}

// PageSettings is how the page is reached.
type PageSettings struct {
	Names []string `json:"names" len:"0..16" doc:"further names that the box answers to, beside its addresses and its own names"`
}

// SupportSettings is who helps.
type SupportSettings struct {
	Contact string `json:"contact" len:"0..200"`
}

// MetricsToken lets a Prometheus server read /metrics.
type MetricsToken struct {
	Token string `json:"token" doc:"for the header Authorization: Bearer; it is shown this once"`
}

// IdentityInfo is who the box is, to others.
type IdentityInfo struct {
	Serial    string       `json:"serial"`
	Product   string       `json:"product"`
	DeviceKey string       `json:"device_key" doc:"SHA-256 of the device key's public half, hex: how a CA's owner can tell that a request is from this box"`
	Device    *Certificate `json:"device_certificate" doc:"with which it shows itself to the telemetry server; null: none yet"`
	CA        *Certificate `json:"ca_certificate" doc:"to which the telemetry server must belong; null: none yet"`
	Page      *Certificate `json:"page_certificate" doc:"which the browser sees"`
	Enrol     Enrolment    `json:"enrolment"`
}

// Certificate is an X.509 certificate in short.
type Certificate struct {
	Subject   string    `json:"subject"`
	Issuer    string    `json:"issuer"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	SHA256    string    `json:"sha256" doc:"fingerprint in hex"`
	Names     []string  `json:"names"`
}

// Enrolment is how the device certificate comes and is renewed.
type Enrolment struct {
	State     string     `json:"state" enum:"none|request|enrolled|failing"`
	URL       string     `json:"url,omitempty"`
	RenewAt   *time.Time `json:"renew_at"`
	LastError string     `json:"last_error,omitempty"`
}

// CSR is a certificate signing request.
type CSR struct {
	CSR string `json:"csr" doc:"PKCS #10, PEM"`
}

// InstallCertificate hands over what a CA has signed.
type InstallCertificate struct {
	Certificate string `json:"certificate" required:"yes" len:"1..32768" doc:"PEM; the device's first, then intermediates"`
	CA          string `json:"ca" required:"yes" len:"1..32768" doc:"PEM; what the telemetry server's certificate is checked against"`
}

// Enrol has the box fetch its certificate by EST (RFC 7030).
type Enrol struct {
	URL   string `json:"url" required:"yes" len:"1..300" doc:"https://ca.example.net, or with a label behind: https://ca.example.net/.well-known/est/boxes"`
	Token string `json:"token" required:"yes" len:"1..256" doc:"one-time password"`
	CA    string `json:"ca" required:"yes" len:"1..32768" doc:"PEM; what the EST server's certificate is checked against"`
	// Telemetry's own.
	HomeCA string `json:"home_ca" len:"0..32768" doc:"PEM; what the telemetry server's certificate is checked against; absent: the CAs that the EST server names"`
}

// LogsQuery asks for log lines.
type LogsQuery struct {
	Unit  string `json:"unit" enum:"all|quartetd|quartet-manage|quartet-netd" default:"all"`
	Lines int    `json:"lines" default:"200" range:"1..5000"`
}

// Logs is the end of the log.
type Logs struct {
	Lines []LogLine `json:"lines" doc:"oldest first"`
	Note  string    `json:"note,omitempty" doc:"what is missing, and why"`
}

// LogLine is a line of the log.
type LogLine struct {
	Time  time.Time `json:"time"`
	Unit  string    `json:"unit"`
	Level string    `json:"level" enum:"debug|info|warn|error"`
	Text  string    `json:"text"`
}

// Identify makes the box blink.
type Identify struct {
	Seconds int `json:"seconds" default:"30" range:"0..300" doc:"0: stop"`
}

// FactoryReset returns the box to the state in which it was delivered.
type FactoryReset struct {
	Serial string `json:"serial" required:"yes" len:"1..64" doc:"of the box, typed to show that it is meant"`
}

// Started says that something goes on without the caller.
type Started struct {
	Note string `json:"note"`
}

// About is what the software is.
type About struct {
	Product         string    `json:"product"`
	Version         string    `json:"version"`
	GoVersion       string    `json:"go_version"`
	SupportUntil    string    `json:"support_until" doc:"last day on which security updates are made, YYYY-MM-DD"`
	SecurityContact string    `json:"security_contact"`
	Support         string    `json:"support_contact,omitempty" doc:"from the settings"`
	Components      []Licence `json:"components"`
}

// Licence is one part of the software and its licence.
type Licence struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	Licence string `json:"licence" doc:"SPDX identifier"`
}

// Problem is what went wrong (RFC 9457).
type Problem struct {
	Type   string         `json:"type" doc:"a word for programs: invalid-request, not-logged-in, forbidden, conflict, …"`
	Title  string         `json:"title"`
	Status int            `json:"status"`
	Detail string         `json:"detail,omitempty"`
	Remedy string         `json:"remedy,omitempty"`
	Errors []config.Issue `json:"errors,omitempty" doc:"each with the path of a field, what is wrong with it and what to do"`
	// What is in conflict.
	Revision   string     `json:"revision,omitempty" doc:"the current one"`
	ChangedBy  string     `json:"changed_by,omitempty"`
	ChangedAt  *time.Time `json:"changed_at,omitempty"`
	RetryAfter int        `json:"retry_after_s,omitempty"`
	Restart    []string   `json:"needs_restart,omitempty" doc:"fields that cannot change while running"`
}
