package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"

	"code.dny.dev/ssrf"
)

// ErrBlocked is returned for an address that the client never connects to.
var ErrBlocked = errors.New("address is not publicly routable")

// guard decides which addresses may be reached. The IANA special-purpose registries are the ssrf library's work; it
// denies all of IPv6 outside 2000::/3, so IPv4-mapped, IPv4-compatible and NAT64 addresses too, and 6to4 and Teredo
// inside.
type guard struct {
	guardian *ssrf.Guardian
}

func newGuard(allow []netip.Prefix) guard {
	var v4, v6 []netip.Prefix
	for _, p := range allow {
		if p.Addr().Is4() {
			v4 = append(v4, p)
		} else {
			v6 = append(v6, p)
		}
	}
	return guard{ssrf.New(
		ssrf.WithAnyPort(),
		ssrf.WithAllowedV4Prefixes(v4...),
		ssrf.WithAllowedV6Prefixes(v6...),
		ssrf.WithDeniedV4Prefixes(
			// Azure's host agent and metadata server, the same in every region, in a range that is otherwise public:
			// learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16.
			netip.MustParsePrefix("168.63.129.16/32"),
		),
		ssrf.WithDeniedV6Prefixes(
			// The returned 6bone test network (RFC 3701).
			netip.MustParsePrefix("3ffe::/16"),
		),
	)}
}

func (g guard) allows(a netip.Addr) bool {
	return a.IsValid() && g.guardian.SafeAddr(a) == nil
}

// control is a net.Dialer's Control function: it sees each address right before the connection, after DNS, so that
// an answer of DNS that changes between two look-ups changes nothing.
func (g guard) control(network, address string, conn syscall.RawConn) error {
	if g.guardian.Safe(network, address, conn) != nil {
		return ErrBlocked
	}
	return nil
}

// ParsePrefixes reads a comma-separated list of address ranges, for example "127.0.0.0/8,::1/128". Spaces around an
// item are ignored; "" and "none" are the empty list. Errors name the item.
func ParsePrefixes(s string) ([]netip.Prefix, error) {
	if s = strings.TrimSpace(s); s == "" || s == "none" {
		return nil, nil
	}
	var prefixes []netip.Prefix
	for item := range strings.SplitSeq(s, ",") {
		p, err := parsePrefix(strings.TrimSpace(item))
		if err != nil {
			return nil, err
		}
		prefixes = append(prefixes, p)
	}
	return prefixes, nil
}

func parsePrefix(item string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(item)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("address range %q: write it like 10.0.0.0/8, 192.0.2.1/32 or fd00::/8", item)
	}
	return p, checkPrefix(p)
}

// checkPrefix refuses what would match other addresses than a reader thinks, or none.
func checkPrefix(p netip.Prefix) error {
	switch {
	case !p.IsValid():
		return errors.New("address range is empty")
	case p.Addr().Is4In6():
		return fmt.Errorf("address range %q: write an IPv4 range as IPv4", p)
	case p != p.Masked():
		return fmt.Errorf("address range %q: has bits behind its length, do you mean %s?", p, p.Masked())
	}
	return nil
}
