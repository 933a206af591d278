package demo

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"quartet/device/config"
	"quartet/device/control"
)

// plan is who listens where.
type plan struct {
	feed     netip.AddrPort   // the box's input
	srt      []netip.AddrPort // the gateways' listeners
	rtp      []netip.AddrPort // receivers of the gateways' RTP
	http     []netip.AddrPort // the gateways' status and metrics
	picture  netip.AddrPort   // a player may listen here
	page     netip.AddrPort   // the box's page
	password string           // homeUser's; "": nobody has claimed the box
	claim    string           // its claim code
	control  string           // the box's socket

	boxConfig     string
	gatewayConfig []string
}

// choosePorts takes free UDP and TCP ports of the loopback. They are released
// again before their users open them: a clash is unlikely and shows at once.
func (p *plan) choosePorts() error {
	udpPort := func() (netip.AddrPort, error) {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return netip.AddrPort{}, err
		}
		defer c.Close()
		return c.LocalAddr().(*net.UDPAddr).AddrPort(), nil
	}
	var err error
	next := func() (a netip.AddrPort) {
		if err == nil {
			a, err = udpPort()
		}
		return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
	}
	p.feed, p.picture = next(), next()
	for range gatewayNames {
		p.srt = append(p.srt, next())
		p.rtp = append(p.rtp, next())
		l, e := net.Listen("tcp4", "127.0.0.1:0")
		if e != nil {
			return e
		}
		p.http = append(p.http, l.Addr().(*net.TCPAddr).AddrPort())
		l.Close()
	}
	return err
}

func (d *demo) file(name string) string { return filepath.Join(d.opts.Dir, name) }

// writeConfigs writes the documents of the box and of the four gateways, as an
// operator would.
func (d *demo) writeConfigs() error {
	key := config.Secret(secret(32))
	box := config.Default[config.Box]()
	box.Version, box.Name = config.SchemaVersion, "demo"
	box.Input.Type, box.Input.URL = config.TypeUDP, "udp://"+d.plan.feed.String()
	box.Input.JitterMS = 40      // a feed of the user's own may come a picture at a time
	box.Input.LossAfterMS = 5000 // the end of the feed is the end of the play
	box.Output.Key = key
	box.Output.LatencyMS = config.Milliseconds(d.opts.Latency.Milliseconds())
	box.Output.OverheadPercent = 20
	box.Output.MaxBitrateKbps = 10_000
	box.Output.RTTMS, box.Output.LossPercent = 35, 2
	box.Control.Socket = d.plan.control

	peerID := make([]string, len(gatewayNames))
	peerPass := make([]config.Secret, len(gatewayNames))
	for i := range gatewayNames {
		peerID[i], peerPass[i] = secret(8), config.Secret(secret(16))
	}
	for i, name := range gatewayNames {
		path := config.Default[config.Path]()
		path.Name, path.Leg = name, 1+i/2
		path.URL = "srt://" + d.relays[i].Addr().String()
		path.StreamID, path.Passphrase = secret(8), config.Secret(secret(16))
		box.Paths = append(box.Paths, path)

		g := config.Default[config.Gateway]()
		g.Version, g.Name = config.SchemaVersion, "gateway-"+name
		g.HTTP.Listen = d.plan.http[i].String()
		l := config.Default[config.Listener]()
		l.Name, l.Address = "srt", d.plan.srt[i].String()
		g.Listeners = []config.Listener{l}
		c := config.Default[config.Contribution]()
		c.Name, c.Key, c.LatencyMS = "demo", key, box.Output.LatencyMS
		in := config.Default[config.GatewayInput]()
		in.Name, in.Listener, in.StreamID, in.Passphrase = "box-"+name, "srt", path.StreamID, path.Passphrase
		from := config.Default[config.GatewayInput]()
		other := i ^ 1 // the other gateway of the leg
		from.Name, from.From, from.Listener = "from-"+gatewayNames[other], config.FromPeer, "srt"
		from.StreamID, from.Passphrase = peerID[i], peerPass[i]
		c.Inputs = []config.GatewayInput{in, from}
		peer := config.Default[config.Peer]()
		peer.Name, peer.URL = gatewayNames[other], "srt://"+d.plan.srt[other].String()
		peer.StreamID, peer.Passphrase = peerID[other], peerPass[other]
		c.Peers = []config.Peer{peer}
		rtp := config.Default[config.GatewayOutput]()
		rtp.Name, rtp.Type, rtp.URL = "mediaconnect", config.TypeRTP, "rtp://"+d.plan.rtp[i].String()
		c.Outputs = []config.GatewayOutput{rtp}
		if i == 0 {
			player := config.Default[config.GatewayOutput]()
			player.Name, player.Type, player.URL = "player", config.TypeUDP, "udp://"+d.plan.picture.String()
			c.Outputs = append(c.Outputs, player)
		}
		g.Contributions = []config.Contribution{c}
		file := d.file("gateway-" + name + ".json")
		if err := os.WriteFile(file, config.Encode(&g), 0o600); err != nil {
			return err
		}
		d.plan.gatewayConfig = append(d.plan.gatewayConfig, file)
	}
	if err := d.preparePage(); err != nil {
		return err
	}
	d.plan.boxConfig = d.file("etc/box.v1.json") // where quartet-manage looks for it
	return os.WriteFile(d.plan.boxConfig, config.Encode(&box), 0o600)
}

// secret is n random bytes in hex.
func secret(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return fmt.Sprintf("%x", b)
}

// status asks the box.
func (d *demo) status(ctx context.Context) (boxStatus, error) {
	c := control.NewClient(d.plan.control)
	defer c.Close()
	s, err := c.Status(ctx)
	return boxStatus{s}, err
}

type boxStatus struct{ control.Status }

func (s boxStatus) pathsUp() (n int) {
	for _, p := range s.Paths {
		if p.State == control.PathUp && p.Arrival != nil {
			n++
		}
	}
	return n
}
