package config

import (
	"encoding/hex"
	"fmt"
	"io"
)

// Examples returns a box and one gateway of its first leg that fit together:
// same key, stream ids, passphrases and latency. Keys and passphrases are read
// from random (crypto/rand.Reader), so that no two examples share a secret and
// none is a default; the box's second leg and the gateway's peer are named for
// machines that the reader has yet to set up. Both pass Check without a
// warning.
func Examples(random io.Reader) (*Box, *Gateway, error) {
	var err error
	secret := func(bytes int) string {
		b := make([]byte, bytes)
		if err == nil {
			_, err = io.ReadFull(random, b)
		}
		return hex.EncodeToString(b)
	}

	b := Default[Box]()
	b.Version, b.Name = SchemaVersion, "studio-1"
	b.Input.Type, b.Input.URL, b.Input.Interface = TypeUDP, "udp://239.1.1.1:5000", "eth0"
	b.Input.OnInputLoss = LossNull
	b.Output.Key = Secret(secret(32))
	for _, p := range []struct {
		name, host, iface string
		leg               int
	}{
		{"1a", "gw1a.example.net", "eth1", 1},
		{"1b", "gw1b.example.net", "eth2", 1},
		{"2a", "gw2a.example.net", "eth1", 2},
		{"2b", "gw2b.example.net", "eth2", 2},
	} {
		path := Default[Path]()
		path.Name, path.Leg, path.Interface = p.name, p.leg, p.iface
		path.URL = fmt.Sprintf("srt://%s:9000", p.host)
		path.StreamID, path.Passphrase = secret(8), Secret(secret(16))
		b.Paths = append(b.Paths, path)
	}

	g := Default[Gateway]()
	g.Version, g.Name = SchemaVersion, "gw1a"
	l := Default[Listener]()
	l.Name, l.Address = "srt", "0.0.0.0:9000"
	g.Listeners = []Listener{l}
	c := Default[Contribution]()
	c.Name, c.Key = "studio-1", b.Output.Key
	in := Default[GatewayInput]()
	in.Name, in.Listener = "box-1a", "srt"
	in.StreamID, in.Passphrase = b.Paths[0].StreamID, b.Paths[0].Passphrase
	from := in
	from.Name, from.From = "from-gw1b", FromPeer
	from.StreamID, from.Passphrase = secret(8), Secret(secret(16))
	c.Inputs = []GatewayInput{in, from}
	peer := Default[Peer]()
	peer.Name, peer.URL = "gw1b", "srt://gw1b.example.net:9000"
	peer.StreamID, peer.Passphrase = secret(8), Secret(secret(16))
	c.Peers = []Peer{peer}
	out := Default[GatewayOutput]()
	out.Name, out.Type, out.URL = "mediaconnect", TypeRTP, "rtp://10.0.1.10:5000"
	c.Outputs = []GatewayOutput{out}
	g.Contributions = []Contribution{c}
	return &b, &g, err
}

// PathLine is the line that an operator pastes as a path's url: everything
// that the box must know to reach one input of a contribution. host is where
// the box reaches the listener. It holds secrets.
func (g *Gateway) PathLine(c *Contribution, in *GatewayInput, host string) (string, error) {
	if in.Mode != ModeListener || in.From != FromBox {
		return "", fmt.Errorf("input %s is not one that a box calls", in.Name)
	}
	for i := range g.Listeners {
		if g.Listeners[i].Name != in.Listener {
			continue
		}
		_, port, err := splitHostPort(g.Listeners[i].Address)
		if err != nil {
			return "", fmt.Errorf("listener %s %w", in.Listener, err)
		}
		u := URL{Scheme: TypeSRT, Host: host, Port: port, Params: map[string]string{
			"streamid": in.StreamID, "key": c.Key.Reveal()}}
		if in.Passphrase != "" {
			u.Params["passphrase"] = in.Passphrase.Reveal()
			u.Params["pbkeylen"] = fmt.Sprint(in.KeyLength)
		}
		return u.String(), nil
	}
	return "", fmt.Errorf("input %s names no listener", in.Name)
}
