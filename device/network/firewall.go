package network

import (
	"fmt"
	"slices"
	"strings"
)

// firewall is the ruleset around the ports: everything that comes in is dropped
// unless it is named here or belongs to what the box began. %[1]s are the ports
// of the media on all interfaces, %[2]s those on one.
const firewall = `# Made by quartet-netd. docs/ports.md lists what is open, and why.
table inet quartet
delete table inet quartet
table inet quartet {
	# Where quartetd listens, from the box document.
	set media {
		type inet_service
%[1]s	}
	set media_on {
		type ifname . inet_service
%[2]s	}
	chain input {
		type filter hook input priority filter; policy drop;
		iif "lo" accept
		ct state invalid counter drop
		ct state established,related accept

		# What IP itself needs: errors, neighbours, routers, groups.
		ip protocol igmp accept
		icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } ip6 hoplimit 255 accept
		icmpv6 type { mld-listener-query, mld-listener-report, mld2-listener-report } ip6 saddr { fe80::/10, :: } accept
		icmp type echo-request limit rate 20/second accept
		icmpv6 type echo-request limit rate 20/second accept

		# Addresses and names.
		udp sport 67 udp dport 68 accept
		ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept
		ip daddr 224.0.0.251 udp dport 5353 accept
		ip6 daddr ff02::fb udp dport 5353 accept

		# The page.
		tcp dport { 80, 443 } accept

		# The media.
		udp dport @media accept
		iifname . udp dport @media_on accept

		counter comment "dropped"
	}
	chain forward {
		type filter hook forward priority filter; policy drop;
	}
}
`

// Firewall is the ruleset for nft(8) that opens FixedPorts and the ports given,
// and nothing else. Loading it replaces the one before in a single step.
func Firewall(media []Port) string {
	var all, on []string
	for _, p := range media {
		switch {
		case p.Protocol != "udp":
			continue
		case p.Interface == "":
			all = append(all, fmt.Sprint(p.Number))
		default:
			on = append(on, fmt.Sprintf("%q . %d", p.Interface, p.Number))
		}
	}
	elements := func(list []string) string {
		slices.Sort(list)
		if list = slices.Compact(list); len(list) == 0 {
			return ""
		}
		return "\t\telements = { " + strings.Join(list, ", ") + " }\n"
	}
	return fmt.Sprintf(firewall, elements(all), elements(on))
}
