package config

import (
	"fmt"
	"strings"
	"testing"
)

// rule is a document with an edit, and what must be said about it (without the
// place); "" is nothing.
type rule struct {
	name  string
	edits []string
	want  string
}

func runRules(t *testing.T, base func(*testing.T, ...string) []byte, rules []rule) {
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			_, warnings, err := Check(base(t, r.edits...))
			var got []string
			if is, ok := err.(Issues); ok {
				for _, i := range is {
					got = append(got, fmt.Sprintf("%s: %s %s; %s", i.Path, i.Value, i.Problem, i.Remedy))
					if i.Line == 0 || i.Column == 0 {
						t.Errorf("%s has no place", i)
					}
				}
			}
			for _, i := range warnings {
				got = append(got, fmt.Sprintf("warning: %s: %s %s; %s", i.Path, i.Value, i.Problem, i.Remedy))
				if i.Line == 0 {
					t.Errorf("%s has no place", i)
				}
			}
			all := strings.ReplaceAll(strings.Join(got, "\n"), ":  ", ": ")
			if r.want == "" && all != "" || !strings.Contains(all, r.want) {
				t.Errorf("got:\n%s\nwant:\n%s", all, r.want)
			}
		})
	}
}

func TestBoxRules(t *testing.T) {
	udp := `"type": "udp", "url": "udp://239.1.1.1:5000"`
	runRules(t, box, []rule{
		{"scheme and type", []string{"udp://239", "rtp://239"}, `input.url: "rtp://239.1.1.1:5000" does not fit type udp; write udp://…, or another type`},
		{"srt settings on udp", []string{udp, udp + `, "mode": "caller", "passphrase": "0123456789", "latency_ms": 300, "srt": {"fc_packets": 1}`},
			"input.mode: has no effect with type udp; remove it\ninput.passphrase: has no effect with type udp; remove it\ninput.latency_ms: has no effect with type udp; remove it\ninput.srt: has no effect with type udp; remove it"},
		{"a default that changes nothing", []string{udp, udp + `, "latency_ms": 200, "loop": true`}, ""},
		{"second on udp", []string{udp, udp + `, "second": {"url": "rtp://:1"}, "fec": "st2022-1", "loop": false`},
			"input.second: has no effect with type udp; remove it\ninput.fec: has no effect with type udp; remove it\ninput.loop: has no effect with type udp; remove it"},
		{"file", []string{udp, `"type": "file", "url": "file:///a.ts"`}, "input.interface: has no effect with type file; remove it"},
		{"stop_after without stop", []string{udp, udp + `, "stop_after_ms": 5`}, "input.stop_after_ms: has no effect with on_input_loss null; remove it"},
		{"stop_after with stop", []string{udp, udp + `, "stop_after_ms": 5, "on_input_loss": "stop"`}, ""},
		{"monitor", []string{udp, udp + `, "monitor": {"pid_missing_ms": 900, "priority3": true, "private_pids": "0x1f0, 8000"}`}, ""},
		{"monitor off", []string{udp, udp + `, "monitor": {"enabled": false, "pid_missing_ms": 900}`}, "input.monitor.pid_missing_ms: has no effect with enabled false; remove it"},
		{"private PIDs of what is not checked", []string{udp, udp + `, "monitor": {"private_pids": "500"}`}, "input.monitor.private_pids: has no effect with priority3 false; remove it"},
		{"not a PID", []string{udp, udp + `, "monitor": {"private_pids": "500,8191"}`}, `input.monitor.private_pids: "500,8191" holds "8191", which is no PID from 32 to 8190; write PIDs from 32`},
		{"source of unicast", []string{"udp://239.1.1.1", "udp://", `"eth0"`, `"eth0", "source": "192.0.2.1"`}, "input.source: has an effect only with a multicast group; remove it, or receive a multicast group"},
		{"source family", []string{`"eth0"`, `"eth0", "source": "2001:db8::1"`}, "input.source: is not of the group's address family; write both as IPv4 or both as IPv6"},
		{"source of a group", []string{`"eth0"`, `"eth0", "source": "192.0.2.1"`}, ""},
		{"ST 2022-7 input", []string{udp, `"type": "rtp", "url": "rtp://239.1.1.1:5000", "second": {"url": "rtp://239.1.1.2:5000", "interface": "eth3"}`}, ""},
		{"ST 2022-7 input, same twice", []string{udp, `"type": "rtp", "url": "rtp://239.1.1.1:5000", "second": {"url": "rtp://239.1.1.1:5000", "interface": "eth0"}`},
			"input.second: receives the same packets as the first; give it the address or the interface of the second copy"},
		{"ST 2022-7 input, one cable", []string{udp, `"type": "rtp", "url": "rtp://239.1.1.1:5000", "second": {"url": "rtp://239.1.1.2:5000", "interface": "eth0"}`},
			"warning: input.second.interface: is also the first copy's: one cable carries both; receive each copy on its own interface"},
		{"second is not RTP", []string{udp, `"type": "rtp", "url": "rtp://239.1.1.1:5000", "second": {"url": "udp://239.1.1.2:5000"}`}, "input.second.url: is not RTP, as the first copy is; write rtp://…"},
		{"recovery ports", []string{udp, `"type": "rtp", "url": "rtp://239.1.1.1:65535", "fec": "st2022-1"`}, "input.url: leaves no room for the recovery packets on port + 2 and + 4"},
		{"srt input calls nobody", []string{udp, `"type": "srt", "url": "srt://:5000", "mode": "caller"`}, "input.url: names no host to call; write srt://host:port, or mode listener"},
		{"srt input listens", []string{udp, `"type": "srt", "url": "srt://:5000", "passphrase": "correct-horse-battery"`}, ""},
		{"srt input and path listen on one port", []string{udp, `"type": "srt", "url": "srt://:5000"`, "gw1a.example.net:9000", ":5000"}, "paths[0].url: input.url listens on port 5000 already; give each its own port or stream id"},

		{"merge window on udp", []string{udp, udp + `, "merge_window_ms": 50`}, "input.merge_window_ms: has no effect with type udp; remove it"},
		{"merge window of class C", []string{udp, `"type": "rtp", "url": "rtp://239.1.1.1:5000", "merge_window_ms": 450, "second": {"url": "rtp://239.1.1.2:5000", "interface": "eth3"}`}, ""},
		{"merge window of one copy", []string{udp, `"type": "rtp", "url": "rtp://239.1.1.1:5000", "merge_window_ms": 15`}, ""},
		{"merge window of one copy, too long", []string{udp, `"type": "rtp", "url": "rtp://239.1.1.1:5000", "merge_window_ms": 30`},
			"warning: input.merge_window_ms: 30 with jitter_ms 20 makes each loss of the feed a hiccup of the output; set jitter_ms to 35 or more, or lower it"},
		{"repair window without recovery", []string{udp, `"type": "rtp", "url": "rtp://239.1.1.1:5000", "fec_window_ms": 300`}, "input.fec_window_ms: has no effect with fec none; remove it"},
		{"repair window", []string{udp, `"type": "rtp", "url": "rtp://239.1.1.1:5000", "fec": "st2022-1", "fec_window_ms": 300`}, ""},
		{"merge window beside recovery", []string{udp, `"type": "rtp", "url": "rtp://239.1.1.1:5000", "fec": "st2022-1", "merge_window_ms": 15`},
			"input.merge_window_ms: has no effect with fec st2022-1 and one copy (the repair waits for fec_window_ms); remove it"},
		{"second on recovery ports", []string{udp, `"type": "rtp", "url": "rtp://239.1.1.1:5000", "fec": "st2022-1", "second": {"url": "rtp://239.1.1.1:5004", "interface": "eth0"}`},
			"input.second.url: is a port of the first copy's recovery packets, or the other way round; use ports at least 6 apart"},
		{"second, written otherwise", []string{`"interface": "eth0"`, `"interface": "eth0", "second": {"url": "rtp://[FF35:0::1]:5000", "interface": "eth0"}`, `"type": "udp", "url": "udp://239.1.1.1:5000"`, `"type": "rtp", "url": "rtp://[ff35::1]:5000"`},
			"input.second: receives the same packets as the first"},
		{"input by name", []string{"239.1.1.1", "feed.example.net"}, `input.url: "udp://feed.example.net:5000" names a host, and names are not looked up for a receiver; write the group, the local address, or udp://:port`},
		{"input with a zone", []string{"239.1.1.1", "[fe80::1%eth0]"}, `input.url: "udp://[fe80::1%eth0]:5000" has a zone; write the interface as interface`},
		{"input mapped", []string{"239.1.1.1", "[::ffff:192.0.2.1]"}, "is an IPv4-mapped IPv6 address; write 192.0.2.1"},
		{"group of a link", []string{"239.1.1.1", "[ff02::1]", `, "interface": "eth0"`, ``}, "input.interface: is missing: the group ff02::1 exists once on each link; write the one that receives"},
		{"source is a group", []string{`"eth0"`, `"eth0", "source": "239.1.1.2"`}, `input.source: "239.1.1.2" is not the address of one host; write an IP address, such as 192.0.2.7`},
		{"jitter of a file", []string{udp + `, "interface": "eth0"`, `"type": "file", "url": "file:///a.ts", "jitter_ms": 30`}, "input.jitter_ms: has no effect with type file; remove it"},
		{"interface with a colon", []string{`"eth0"`, `"eth0:1"`}, `input.interface: "eth0:1" is not the name of an interface`},

		{"key without use", []string{`"leg": 1`, `"leg": 1, "profile": "ts"`, `"leg": 1, "url"`, `"leg": 1, "profile": "ts", "url"`}, "warning: output.key: has no effect while no path has profile rtp-fec; leave it for later, or remove it"},
		{"three keys", []string{`"key"`, `"next_key": "` + strings.Repeat("a", 64) + `", "previous_key": "` + strings.Repeat("b", 64) + `", "key"`}, "output.next_key: is given beside previous_key, and each end knows two keys at a time; remove next_key until previous_key is gone"},
		{"skew without a merge", []string{`"key"`, `"skew_ms": 20, "key"`, `"leg": 1, "url": "srt://gw1b`, `"leg": 3, "url": "srt://gw1b`}, "warning: output.skew_ms: has no effect while no two rtp-fec paths share a merge group"},
		{"key missing", []string{`"key": "` + testKey + `"`, ``}, "output.key: is missing, and paths[0] has profile rtp-fec, whose every message is authenticated with it; write the gateway's key, or make one for both: `openssl rand -hex 32`"},
		{"key of zeros", []string{testKey, strings.Repeat("0", 64)}, "output.key: *** is all zeros, which everybody can guess; write 32 to 64 random bytes in hex"},
		{"next key without key", []string{`"key": "`, `"next_key": "`}, "output.next_key: has no effect without key; write key as well"},
		{"next key equals key", []string{`"key"`, `"previous_key": "` + testKey + `", "key"`}, "output.previous_key: is the same as key; remove it, or write another key"},
		{"too many symbols", []string{`"key"`, `"fec": {"k": 200, "rows": 30}, "key"`}, "output.fec.rows: 30 on each of 2 streams and k 200 make 260 symbols, and the code has 255; lower rows or k"},
		{"rows without k", []string{`"key"`, `"fec": {"rows": 6}, "key"`}, "output.fec.rows: 6 is given without k; write both, or leave both to the planner"},
		{"no rows", []string{`"key"`, `"fec": {"rows": 0}, "key"`}, ""},
		{"latency sum", []string{`"key"`, `"fec": {"k": 128}, "latency_ms": 300, "key"`, `"leg": 1`, `"leg": 1, "latency_ms": 200, "stagger_ms": 15`},
			"paths[0]: SRT latency 200, stagger 15 and FEC bound 135 ms make 350, more than output.latency_ms 300; raise output.latency_ms, or lower one of them"},
		{"latency sum without parity", []string{`"key"`, `"fec": {"k": 128, "rows": 0}, "latency_ms": 300, "key"`, `"leg": 1`, `"leg": 1, "latency_ms": 200, "stagger_ms": 15`}, ""},
		{"block bound", []string{`"key"`, `"fec": {"k": 100, "max_block_ms": 40}, "max_bitrate_kbps": 2000, "latency_ms": 75, "key"`, `"leg": 1`, `"leg": 1, "latency_ms": 20`},
			"paths[0]: SRT latency 20, stagger 0 and FEC bound 80 ms make 100, more than output.latency_ms 75"},

		{"scheme and profile", []string{"rtp://10.0.0.7:5002", "srt://10.0.0.7:5002"}, `paths[3].url: "srt://10.0.0.7:5002" does not fit profile rtp; write rtp://host:port, or another profile`},
		{"stagger on ts", []string{`"profile": "ts"`, `"profile": "ts", "stagger_ms": 5`}, "paths[2].stagger_ms: 5 is not possible with profile ts; remove it: a receiver of plain transport streams would see its clock shifted between sources"},
		{"stagger 0 on ts", []string{`"profile": "ts"`, `"profile": "ts", "stagger_ms": 0, "ts_packets_per_message": 6`}, ""},
		{"merge group on ts", []string{`"profile": "ts"`, `"profile": "ts", "merge_group": "x"`}, "paths[2].merge_group: has no effect with profile ts; remove it"},
		{"packets per message of one path", []string{`"leg": 1`, `"leg": 1, "ts_packets_per_message": 6`}, "paths[0].ts_packets_per_message: has no effect with profile rtp-fec, where every path carries the same packets (set output.ts_packets_per_message); remove it"},
		{"st2022_1 on rtp-fec", []string{`"leg": 1`, `"leg": 1, "st2022_1": {"columns": 10, "rows": 5}, "ttl": 3`}, "paths[0].st2022_1: has no effect with profile rtp-fec; remove it\npaths[0].ttl: has no effect with profile rtp-fec; remove it"},
		{"packet filter on rtp-fec", []string{`"leg": 1`, `"leg": 1, "srt": {"packet_filter": "fec,cols:10"}`}, "paths[0].srt.packet_filter: is not possible with profile rtp-fec; remove it: the stream has its own FEC"},
		{"matrix too large", []string{`"profile": "rtp"`, `"profile": "rtp", "st2022_1": {"columns": 20, "rows": 20}`}, "paths[3].st2022_1: has 400 columns × rows; lower one of them (SMPTE ST 2022-1 allows 100 in all)"},
		{"passphrase on rtp", []string{`"profile": "rtp"`, `"profile": "rtp", "passphrase": "correct-horse", "key_length": 16`}, "paths[3].key_length: has no effect with profile rtp; remove it\npaths[3].passphrase: has no effect with profile rtp: plain RTP is not encrypted; use profile ts or rtp-fec, or remove it"},
		{"rtp to nobody", []string{"rtp://10.0.0.7", "rtp://"}, "paths[3].url: names no host to send to; write rtp://host:port"},
		{"rtp over the Internet", []string{"rtp://10.0.0.7", "rtp://203.0.114.7"}, `warning: paths[3].url: "rtp://203.0.114.7:5002" is a public address, and plain RTP is not encrypted; use it inside a VPC or over Direct Connect or a VPN only; elsewhere use ts or rtp-fec`},
		{"rtp within the carrier", []string{"rtp://10.0.0.7", "rtp://100.64.0.7"}, ""},
		{"rtp stagger", []string{`"profile": "rtp"`, `"profile": "rtp", "stagger_ms": 500`}, "paths[3].stagger_ms: 500 is not less than output.latency_ms 500; lower it"},
		{"srt to a group", []string{"srt://203.0.113.7", "srt://239.0.0.1"}, "paths[2].url: is a multicast group, which SRT does not do; write the address of one host"},
		{"listener with source", []string{"gw1a.example.net", "", `"leg": 1`, `"leg": 1, "source": "192.0.2.1"`}, "paths[0].source: has no effect with mode listener; write the local address in the url: srt://192.0.2.1:port"},
		{"source of another family", []string{`"profile": "ts"`, `"profile": "ts", "source": "2001:db8::1"`}, "paths[2].source: is not of the url's address family; write both as IPv4 or both as IPv6"},
		{"mss", []string{`"leg": 1`, `"leg": 1, "srt": {"mss_bytes": 1280}`}, "paths[0].srt.mss_bytes: 1280 is too small for 7 transport stream packets in a message; lower ts_packets_per_message to 6"},
		{"maxbw and inputbw", []string{`"leg": 1`, `"leg": 1, "srt": {"maxbw_kbps": 1, "inputbw_kbps": 1}`}, "paths[0].srt.inputbw_kbps: has no effect beside maxbw_kbps; remove one of them"},
		{"mininputbw and inputbw", []string{`"leg": 1`, `"leg": 1, "srt": {"mininputbw_kbps": 1, "inputbw_kbps": 1}`}, "paths[0].srt.mininputbw_kbps: has no effect beside inputbw_kbps; remove one of them"},
		{"maxbw and mininputbw", []string{`"leg": 1`, `"leg": 1, "srt": {"maxbw_kbps": 1, "mininputbw_kbps": 1}`}, "paths[0].srt.mininputbw_kbps: has no effect beside maxbw_kbps; remove one of them"},
		{"oheadbw alone", []string{`"leg": 1`, `"leg": 1, "srt": {"oheadbw_percent": 30}`}, "paths[0].srt.oheadbw_percent: has no effect without inputbw_kbps or mininputbw_kbps, to which it is relative; remove it"},
		{"fc too small", []string{`"leg": 1`, `"leg": 1, "srt": {"fc_packets": 31}`}, "paths[0].srt.fc_packets: 31 is less than libsrt can work with; write 32 or more, or leave it out to have it sized"},
		{"fc below the buffer", []string{`"leg": 1`, `"leg": 1, "srt": {"fc_packets": 100, "rcvbuf_bytes": 1472000}`}, "paths[0].srt.fc_packets: 100 is less than the 1000 packets of the receive buffer; write 1000 or more, or set rcvbuf_bytes to 147200 or less"},
		{"packet filter of no kind", []string{`"profile": "ts"`, `"profile": "ts", "srt": {"packet_filter": "fec,rows:3"}`}, `paths[2].srt.packet_filter: "fec,rows:3" does not say how many columns (cols) its matrix has; write libsrt's own filter, such as fec,cols:10,rows:5`},
		{"packet filter", []string{`"profile": "ts"`, `"profile": "ts", "srt": {"packet_filter": "fec,cols:10,rows:-5,layout:even,arq:onreq"}`}, ""},
		{"connect timeout of a listener", []string{"gw1a.example.net", "", `"leg": 1`, `"leg": 1, "srt": {"connect_timeout_ms": 500}`}, "paths[0].srt.connect_timeout_ms: has no effect with mode listener; remove it"},
		{"listener on a name", []string{`"leg": 1`, `"leg": 1, "mode": "listener"`}, `paths[0].url: "srt://gw1a.example.net:9000" names a host, and a listener needs an address of this machine; write srt://:port for all, or an IP address`},
		{"key length alone", []string{`, "passphrase": "correct-horse-battery"`, `, "key_length": 16`}, "paths[0].key_length: has no effect without a passphrase; remove it"},
		{"stream id with a zero byte", []string{`"leg": 1`, `"leg": 1, "stream_id": "a\u0000"`}, `paths[0].stream_id: "a\x00" contains a zero byte; write 1 to 512 bytes`},
		{"more packets on one path", []string{`"profile": "ts"`, `"profile": "ts", "ts_packets_per_message": 6`, `"key"`, `"ts_packets_per_message": 5, "key"`},
			"paths[2].ts_packets_per_message: 6 is more than output.ts_packets_per_message 5: messages are split for a path, never joined; lower it, or raise that one"},
		{"capacity of plain RTP", []string{`"profile": "rtp"`, `"profile": "rtp", "max_bitrate_kbps": 30000`}, "paths[3].max_bitrate_kbps: has no effect with profile rtp; remove it"},
		{"source of plain RTP", []string{`"profile": "rtp"`, `"profile": "rtp", "source": "2001:db8::1"`}, "paths[3].source: is not of the url's address family"},
		{"rows of a narrow matrix", []string{`"profile": "rtp"`, `"profile": "rtp", "st2022_1": {"columns": 3, "rows": 5}`}, "paths[3].st2022_1.row_fec: true needs 4 columns at least, and there are 3; set it to false, or columns to 4 or more"},
		{"two names", []string{`"1b"`, `"1a"`}, `paths[1].name: "1a" is also the name of paths[0]; give each its own`},
		{"two callers of one stream", []string{"gw1b", "gw1a"}, `paths[1].url: paths[0].url calls gw1a.example.net:9000 with stream id "" already; give each its own port or stream id`},
		{"two streams of one port", []string{"gw1b", "gw1a", `"name": "1b"`, `"name": "1b", "stream_id": "b"`}, ""},
		{"recovery port taken", []string{`"leg": 2, "profile": "ts", "url": "srt://203.0.113.7:5001", "passphrase": "correct-horse-battery"`, `"leg": 2, "profile": "rtp", "url": "rtp://10.0.0.7:5000", "st2022_1": {"columns": 10, "rows": 5}`},
			"paths[3].url: paths[2].url sends to 10.0.0.7 port 5002 already"},

		{"one interface within a leg", []string{`"eth2"`, `"eth1"`}, "warning: paths[1].interface: 1a and 1b share interface eth1: one cable takes down both; bind redundant paths to different interfaces"},
		{"no interface within a leg", []string{`, "interface": "eth1"`, ``, `, "interface": "eth2"`, ``}, "warning: paths[1].interface: 1a and 1b share no chosen interface: one cable takes down both; bind redundant paths to different interfaces"},
		{"one source within a leg", []string{`"interface": "eth1"`, `"source": "192.0.2.1"`, `"interface": "eth2"`, `"source": "192.0.2.1"`}, "warning: paths[1].source: 1a and 1b share source 192.0.2.1"},
		{"not encrypted", []string{`, "passphrase": "correct-horse-battery"`, ``}, "warning: paths[0].passphrase: is missing: the stream is not encrypted; set the same passphrase on both ends"},
		{"weak passphrase", []string{`correct-horse-battery`, `password01`}, "warning: paths[0].passphrase: is short enough to be guessed; let a machine make it, such as `openssl rand -hex 16`"},
		{"MediaConnect port", []string{`203.0.113.7:5001`, `203.0.113.7:2088`}, "warning: paths[2].url: port 2088 cannot be a MediaConnect source; if the far end is MediaConnect, use 1024 to 65535 except 2077 and 2088"},
		{"MediaConnect rate", []string{`"key"`, `"max_bitrate_kbps": 130000, "key"`}, "warning: output.max_bitrate_kbps: is more than the 120000 that a MediaConnect source takes (paths[2]); lower it if the far end is MediaConnect"},
	})
}

// TestSharedByAll: one path in each of two legs, both on one cable.
func TestSharedByAll(t *testing.T) {
	golden(t, []byte(`{"version":1,"name":"a","input":{"type":"udp","url":"udp://:5000"},"output":{},"paths":[
 {"name":"1","profile":"ts","url":"srt://a:9000","passphrase":"correct-horse-battery","interface":"eth1"},
 {"name":"2","profile":"ts","leg":2,"url":"srt://b:9000","passphrase":"correct-horse-battery","interface":"eth1"}]}`), `
warning: paths[1].interface (line 3:107): 1 and 2 share interface eth1: one cable takes down both; bind redundant paths to different interfaces`)
}

func TestGatewayRules(t *testing.T) {
	out := `"type": "rtp", "url": "rtp://10.0.0.9:5000", "second": {"url": "rtp://10.0.1.9:5000"}`
	runRules(t, gateway, []rule{
		{"metrics for all", []string{`"name": "gw1a"`, `"name": "gw1a", "http": {"listen": ":9464"}`}, `warning: http.listen: ":9464" serves metrics and status to other machines without a login; let a firewall or security group admit the monitoring only`},
		{"two listeners of one port", []string{"0.0.0.0:9001", "0.0.0.0:9000"}, "listeners[1].address: has the port of listeners[0]; use one listener for both, or another port"},
		{"two listeners of one name", []string{`"peers", "address"`, `"srt", "address"`}, `listeners[1].name: "srt" is also the name of listeners[0]; give each its own`},
		{"listener address", []string{"0.0.0.0:9001", "example.net:9001"}, `listeners[1].address: "example.net:9001" does not name a local IP address`},
		{"key missing", []string{`"key"`, `"next_key"`}, "contributions[0].key: is missing"},
		{"same keys", []string{`"key"`, `"next_key": "` + testKey + `", "key"`}, "contributions[0].next_key: is the same as key"},
		{"stop_after with null", []string{`"key"`, `"on_input_loss": "null", "stop_after_ms": 7, "key"`}, "contributions[0].stop_after_ms: has no effect with on_input_loss null"},
		{"names of inputs", []string{`"name": "gw1b", "from"`, `"name": "box", "from"`}, `contributions[0].inputs[1].name: "box" is also the name of contributions[0].inputs[0]`},
		{"input without listener", []string{`"listener": "srt", `, ``}, "contributions[0].inputs[0].listener: is missing with mode listener; write the name of one of listeners"},
		{"input with a wrong listener", []string{`"listener": "srt"`, `"listener": "str"`}, `contributions[0].inputs[0].listener: "str" is not the name of a listener; add it to listeners, or write the name of one`},
		{"one listener needs no name", []string{`, {"name": "peers", "address": "0.0.0.0:9001"}`, ``, `"listener": "srt", `, ``, `"listener": "peers", `, ``}, ""},
		{"stream id missing", []string{`"stream_id": "a1", `, ``}, "contributions[0].inputs[0].stream_id: is missing with mode listener, where it tells the streams of a port apart"},
		{"stream id twice", []string{`"listener": "peers", "stream_id": "b1"`, `"listener": "srt", "stream_id": "a1"`}, "contributions[0].inputs[1].stream_id: is that of contributions[0].inputs[0] on the same listener; give each stream its own"},
		{"caller settings on a listener's input", []string{`"listener": "srt"`, `"listener": "srt", "url": "srt://h:9000", "source": "192.0.2.1"`}, "contributions[0].inputs[0].url: has no effect with mode listener; remove it\ncontributions[0].inputs[0].source: has no effect"},
		{"caller", []string{`"listener": "srt"`, `"mode": "caller", "url": "srt://h:9000"`}, ""},
		{"caller without url", []string{`"listener": "srt"`, `"mode": "caller"`}, "contributions[0].inputs[0].url: is missing with mode caller; write srt://host:port"},
		{"caller of rtp", []string{`"listener": "srt"`, `"mode": "caller", "url": "rtp://h:1"`}, "contributions[0].inputs[0].url: is not SRT; write srt://host:port"},
		{"caller with mode in its url", []string{`"listener": "srt"`, `"mode": "caller", "url": "srt://h:1?mode=caller"`}, "contributions[0].inputs[0].url: has the parameter mode, which has no meaning here; remove it from the address"},
		{"input latency", []string{`"listener": "srt"`, `"listener": "srt", "latency_ms": 500`, `"inputs"`, `"latency_ms": 500, "inputs"`}, "contributions[0].inputs[0].latency_ms: 500 is not less than the contribution's latency_ms 500; lower it, or raise the contribution's (and the box's output.latency_ms)"},
		{"only peers", []string{`"name": "box"`, `"name": "box", "from": "peer"`}, "warning: contributions[0].inputs: all come from peers: this gateway adds no redundancy; let the box send a stream here too"},
		{"peer is not SRT", []string{"srt://gw1b", "rtp://gw1b"}, "contributions[0].peers[0].url: is not SRT; write srt://host:port"},
		{"peer latency", []string{`"peers": [{`, `"latency_ms": 50, "peers": [{"latency_ms": 60, `}, "contributions[0].peers[0].latency_ms: 60 is not less than the contribution's latency_ms 50; lower it"},
		{"nowhere", []string{`"outputs": [{"name": "emx", ` + out + `}]`, `"outputs": []`, `"peers": [{"name": "gw1b", "url": "srt://gw1b.example.net:9001", "stream_id": "b2", "passphrase": "correct-horse-battery"}],`, ``},
			"warning: contributions[0].outputs: is empty: the feed goes nowhere; add an output or a peer"},
		{"output scheme", []string{`"type": "rtp"`, `"type": "udp"`}, `contributions[0].outputs[0].url: "rtp://10.0.0.9:5000" does not fit type udp`},
		{"second of udp", []string{out, `"type": "udp", "url": "udp://10.0.0.9:5000", "second": {"url": "rtp://10.0.1.9:5000"}, "passphrase": "0123456789"`},
			"contributions[0].outputs[0].passphrase: has no effect with type udp; remove it\ncontributions[0].outputs[0].second: has no effect with type udp; remove it"},
		{"same destination twice", []string{"10.0.1.9", "10.0.0.9"}, "contributions[0].outputs[0].second.url: is also the address of contributions[0].outputs[0].url; give each its own"},
		{"public", []string{"10.0.1.9", "203.0.114.9"}, `warning: contributions[0].outputs[0].second.url: "rtp://203.0.114.9:5000" is a public address, and plain RTP is not encrypted; keep it inside a VPC or another private network`},
		{"ttl of srt", []string{out, `"type": "srt", "url": "srt://10.0.0.9:5000", "ttl": 9`}, "contributions[0].outputs[0].ttl: has no effect with type srt (use srt.ip_ttl); remove it"},
		{"file", []string{out, `"type": "file", "url": "file:///tmp/a.ts", "interface": "eth0"`}, "contributions[0].outputs[0].interface: has no effect with type file; remove it"},
		{"listener by name", []string{"0.0.0.0:9001", "localhost:9001"}, `listeners[1].address: "localhost:9001" is a name, and SRT listens on addresses: 127.0.0.1 or [::1]`},
		{"two ports that the system chooses", []string{"0.0.0.0:9001", ":0", ":9000", ":0"}, "listeners[1].address: has the port of listeners[0]"},
		{"connect timeout of a listener", []string{`":9000"`, `":9000", "srt": {"fc_packets": 9000, "connect_timeout_ms": 500}`}, "listeners[0].srt.connect_timeout_ms: has no effect on a listener; remove it"},
		{"null packets in RTP", []string{`"key"`, `"on_input_loss": "null", "key"`}, `contributions[0].on_input_loss: "null" is not possible with outputs[0], which is RTP: null packets would carry`},
		{"filling of RTP alone", []string{`"key"`, `"stop_after_ms": 500, "key"`}, "contributions[0].stop_after_ms: has no effect where all outputs are RTP, which falls silent at once; remove it"},
		{"output on a listener's port", []string{out, `"type": "srt", "url": "srt://:9001"`}, "contributions[0].outputs[0].url: is also the address of listeners[1].address; give each its own"},
		{"output's packets", []string{out, `"type": "srt", "url": "srt://10.0.0.9:5000", "srt": {"mss_bytes": 1359}`}, "contributions[0].outputs[0].srt.mss_bytes: 1359 is too small for a message of seven transport stream packets; write 1360 or more"},
		{"output's source", []string{`"second"`, `"source": "2001:db8::1", "second"`}, "contributions[0].outputs[0].source: is not of the url's address family; write both as IPv4 or both as IPv6"},
		{"peer without latency", []string{`"peers": [{`, `"peers": [{"latency_ms": 0, `}, "contributions[0].peers[0].latency_ms: 0 is out of range; write a whole number from 1 to 15000"},
		{"pasted srt output", []string{out, `"type": "srt", "url": "srt://:5000?passphrase=correct-horse-battery&latency=10"`}, "contributions[0].outputs[0].url: has a parameter latency that is out of range; write a whole number from 20 to 15000"},
	})
}

// FuzzCheck reads any bytes: no panic, every error is a list of issues with a
// remedy, and what is accepted survives being written and read again.
func FuzzCheck(f *testing.F) {
	t := &testing.T{}
	f.Add(box(t))
	f.Add(gateway(t))
	f.Add([]byte(`{"version":1,"paths":[{"url":"srt://h:1?passphrase=%31&key=0"}]}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		k, _, err := Check(doc)
		if err != nil {
			is, ok := err.(Issues)
			if !ok || len(is) == 0 {
				t.Fatalf("%T: %v", err, err)
			}
			for _, i := range is {
				if i.Problem == "" || i.Remedy == "" {
					t.Fatalf("%+v", i)
				}
			}
			return
		}
		var first, second []byte
		if k == KindBox {
			b, _, _ := ParseBox(doc)
			first = Encode(b)
			b, _, err = ParseBox(first)
			if err == nil {
				second = Encode(b)
			}
		} else {
			g, _, _ := ParseGateway(doc)
			first = Encode(g)
			g, _, err = ParseGateway(first)
			if err == nil {
				second = Encode(g)
			}
		}
		if err != nil || string(first) != string(second) {
			t.Fatalf("not the same after a round trip: %v\n%s\n%s", err, first, second)
		}
	})
}

// FuzzScan: the scanner accepts exactly what is JSON.
func FuzzScan(f *testing.F) {
	f.Add([]byte(`{"a":[1,-0.5e+3,true,null,"\u00e4\ud83d\ude00"]}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		_, err := scan(doc)
		if valid := validJSON(doc); valid && err != nil && !strings.Contains(err.problem, "within each other") &&
			!strings.Contains(err.problem, "UTF-8") && !strings.Contains(err.problem, "surrogate") && !strings.Contains(err.problem, "\\u") {
			t.Fatalf("refused: %v", err.problem)
		} else if !valid && err == nil {
			t.Fatal("accepted, but not JSON")
		}
	})
}

// FuzzURL: what ParseURL accepts, it writes and reads back.
func FuzzURL(f *testing.F) {
	f.Add("srt://h:1?streamid=%23a&passphrase=0123456789&latency=1")
	f.Add("udp://[::1%25a]:1")
	f.Add("file:///a")
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ParseURL(s)
		if err != nil {
			return
		}
		v, err := ParseURL(u.String())
		if err != nil || v.String() != u.String() {
			t.Fatalf("%q: %q: %v", s, u, err)
		}
		if u.Params["passphrase"] != "" && strings.Contains(RedactURL(s), "passphrase") {
			t.Fatalf("%q shows its parameters", RedactURL(s))
		}
	})
}
