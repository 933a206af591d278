package network

import (
	"context"
	"net/netip"
	"time"
)

// System is what Keeper and Server need of the machine. Linux is the real one.
// Its methods are called by one goroutine at a time, but for State.
type System interface {
	// Installed returns the files of Render's that are in place, sorted by path.
	Installed() ([]File, error)
	// Install puts these files in place, each of them atomically, and removes
	// those of before that are not among them.
	Install([]File) error
	// Reload has networkd take up what is installed, and removes VLANs that are
	// not among those named. Where networkd does not run yet, it will read the
	// files when it starts: that is no error.
	Reload(ctx context.Context, vlans []string) error
	// Addresses returns the addresses that the box has now, with the name of the
	// interface of each.
	Addresses() (map[netip.Addr]string, error)
	// State returns what is there now.
	State(ctx context.Context) (State, error)
	// SetTime sets the clock, that of the board included if there is one.
	SetTime(time.Time) error
	// Reboot has the machine started anew in order; it returns at once.
	Reboot() error
}

// State is what is there now: what the page shows.
type State struct {
	Hostname string  `json:"hostname"`
	Links    []Link  `json:"links"` // in the kernel's order, without the loopback
	Routes   []Way   `json:"routes"`
	Clock    Clock   `json:"clock"`
	Problem  string  `json:"problem,omitempty"` // the settings as they were found, or applied, in words
	Uptime   float64 `json:"uptime_s"`
}

// Link is one network interface.
type Link struct {
	Name      string    `json:"name"`
	Index     int       `json:"index"`
	Kind      string    `json:"kind"` // device, vlan, veth, …
	MAC       string    `json:"mac,omitempty"`
	Parent    string    `json:"parent,omitempty"` // of a VLAN
	VLAN      int       `json:"vlan,omitempty"`
	Up        bool      `json:"up"`      // switched on
	Carrier   bool      `json:"carrier"` // a cable with something at its other end
	SpeedMbps int       `json:"speed_mbps,omitempty"`
	Duplex    string    `json:"duplex,omitempty"` // full or half
	MTU       int       `json:"mtu"`
	Addresses []Address `json:"addresses"`
	DNS       []string  `json:"dns,omitempty"`
	// Setup is networkd's word: pending, configuring, configured, failed,
	// unmanaged. Empty: networkd does not answer.
	Setup string `json:"setup,omitempty"`
	// Online is networkd's word: off, no-carrier, carrier, degraded, routable.
	Online string `json:"online,omitempty"`
	Lease  *Lease `json:"lease,omitempty"` // of DHCPv4

	RxBytes   uint64 `json:"rx_bytes_total"`
	TxBytes   uint64 `json:"tx_bytes_total"`
	RxErrors  uint64 `json:"rx_errors_total"`
	TxErrors  uint64 `json:"tx_errors_total"`
	RxDropped uint64 `json:"rx_dropped_total"`
	TxDropped uint64 `json:"tx_dropped_total"`
}

// Where an address or a route is from.
const (
	FromStatic    = "static"     // the settings
	FromDHCP      = "dhcp"       // a DHCP server
	FromRouter    = "router"     // a router's advertisement, or DHCPv6
	FromLinkLocal = "link-local" // the box itself
	FromKernel    = "kernel"     // follows from an address
	FromOther     = "other"
)

// Address is one address of an interface.
type Address struct {
	Prefix netip.Prefix `json:"address"`
	From   string       `json:"from"`
	ValidS int          `json:"valid_s,omitempty"` // 0: for good
}

// Way is one route of the main table.
type Way struct {
	To     string `json:"to"` // "default", or a network
	Via    string `json:"via,omitempty"`
	Link   string `json:"interface"`
	Metric int    `json:"metric"`
	From   string `json:"from"`
	IPv6   bool   `json:"ipv6,omitempty"`
}

// Lease is what a DHCP server gave.
type Lease struct {
	Server  string  `json:"server,omitempty"`
	Router  string  `json:"router,omitempty"`
	ExpireS float64 `json:"expires_in_s,omitempty"` // 0: not known
}

// Clock is the state of the wall clock.
type Clock struct {
	Synchronised bool      `json:"synchronised"` // the kernel's word: somebody disciplines it
	MaxErrorMS   float64   `json:"max_error_ms"` // the kernel's bound of its error
	Server       string    `json:"server,omitempty"`
	Address      string    `json:"server_address,omitempty"`
	OffsetMS     float64   `json:"offset_ms"`         // still to be made up
	PollS        float64   `json:"poll_s,omitempty"`  // how often the server is asked
	Stratum      int       `json:"stratum,omitempty"` // of the server
	Time         time.Time `json:"time"`
	Timezone     string    `json:"timezone"`
}
