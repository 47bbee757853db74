package egress

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"code.dny.dev/ssrf"
)

var (
	// ErrBlocked is returned for an address that the client never connects to.
	ErrBlocked = errors.New("address is not publicly routable")

	// errMixed is the ErrBlocked of a public address whose name has another one that is not.
	errMixed = fmt.Errorf("%w: one of the several that the name has", ErrBlocked)

	// errOwn is the ErrBlocked of an address that this process listens on.
	errOwn error = ownError{}

	// errPort is the ErrBlocked of a port that Config.Ports does not hold.
	errPort = fmt.Errorf("%w: the port is not allowed", ErrBlocked)
)

// guard decides which addresses may be reached. The IANA special-purpose registries are the ssrf library's work; it
// denies all of IPv6 outside 2000::/3, so IPv4-mapped, IPv4-compatible and NAT64 addresses too, and 6to4 and Teredo
// inside.
type guard struct {
	guardian  *ssrf.Guardian
	allow     []netip.Prefix
	ports     []uint16 // empty: any
	httpsOnly bool
	own       *ownAddrs
}

func newGuard(cfg Config) guard {
	return guard{
		guardian: newGuardian(cfg.Allow), allow: cfg.Allow, ports: cfg.Ports, httpsOnly: cfg.HTTPSOnly, own: &ownAddrs{},
	}
}

func newGuardian(allow []netip.Prefix) *ssrf.Guardian {
	var v4, v6 []netip.Prefix
	for _, p := range allow {
		if p.Addr().Is4() {
			v4 = append(v4, p)
		} else {
			v6 = append(v6, p)
		}
	}

	return ssrf.New(
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
	)
}

// allows tells whether an address may be reached on a port; whether the port may be used at all is not its matter. An
// allowed range opens the machine that the database is on, and not the database.
func (g guard) allows(a netip.AddrPort) bool {
	addr := a.Addr()
	if !addr.IsValid() || g.guardian.SafeAddr(addr) != nil || g.own.has(a) {
		return false
	}
	return g.opened(addr) || !isISATAP(addr) && !g.own.hasHost(addr)
}

// opened tells whether Config.Allow holds an address.
func (g guard) opened(a netip.Addr) bool {
	return slices.ContainsFunc(g.allow, func(p netip.Prefix) bool { return p.Contains(a) })
}

func (g guard) allowsPort(port uint16) bool {
	return len(g.ports) == 0 || slices.Contains(g.ports, port)
}

// isISATAP tells whether an IPv6 address ends in ::0:5efe:<IPv4> or ::200:5efe:<IPv4> (RFC 5214, section 6.1): a tunnel
// to that IPv4 address, which is nearly always a private one.
func isISATAP(a netip.Addr) bool {
	b := a.As16()
	return a.Is6() && b[8]&^2 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe
}

// control is a net.Dialer's ControlContext function: it sees each address right before the connection, after DNS, so
// that an answer of DNS that changes between two look-ups changes nothing.
func (g guard) control(_ context.Context, network, address string, conn syscall.RawConn) error {
	target, err := netip.ParseAddrPort(address)
	switch {
	case err == nil && g.own.listens(target):
		return errOwn
	case err != nil || g.guardian.Safe(network, address, conn) != nil || !g.allows(target):
		return ErrBlocked
	case !g.allowsPort(target.Port()):
		return errPort
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
