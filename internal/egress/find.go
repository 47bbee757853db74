package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/outhook/outhook/internal/egress/wire"
)

// addresses are a host's.
type addresses struct {
	list []netip.AddrPort
	late <-chan []netip.AddrPort // what the slower of the two questions brings, nil: nothing more
}

// answer is what the name server said of one family.
type answer struct {
	addrs []netip.Addr
	err   error
}

// find looks a host's addresses up. The name is taken as it is, without the search domains of this machine, which
// belong to somebody else than the endpoint's owner. Neither family waits for the other for long.
//
// A name with an address among its addresses that is blocked belongs to nobody who means well: it is used to get past a
// check of the first one.
func (d *dialer) find(
	ctx context.Context, host string, port uint16, progress *wire.Dialing,
) (found addresses, err error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addresses{list: []netip.AddrPort{netip.AddrPortFrom(addr, port)}}, nil
	}
	progress.Reach(wire.LookingUp)

	answers := make(chan answer, 2)
	for _, family := range []string{"ip4", "ip6"} {
		go func() {
			addrs, err := d.resolver.LookupNetIP(ctx, family, host+".")
			answers <- answer{addrs, err}
		}()
	}

	var got []answer
	var patience <-chan time.Time
	for len(got) < 2 {
		select {
		case a := <-answers:
			if got = append(got, a); len(a.addrs) > 0 {
				patience = time.After(resolutionDelay)
			}
			continue
		case <-patience:
		case <-ctx.Done():
			return found, ctx.Err() //nolint:wrapcheck // the caller's own
		}
		break
	}

	if found.list, err = d.judge(got, port); err != nil {
		return found, err
	}
	if len(got) < 2 {
		found.late = d.rest(ctx, answers, port)
	}
	return found, nil
}

// rest waits for the slower answer.
func (d *dialer) rest(ctx context.Context, answers <-chan answer, port uint16) <-chan []netip.AddrPort {
	late := make(chan []netip.AddrPort, 1)
	go func() {
		select {
		case a := <-answers:
			// Should one be blocked, the dialer finds out.
			list := make([]netip.AddrPort, 0, len(a.addrs))
			for _, addr := range a.addrs {
				list = append(list, netip.AddrPortFrom(addr.Unmap(), port))
			}
			late <- list
		case <-ctx.Done():
		}
	}()
	return late
}

// judge returns the addresses in the order in which they are tried, IPv6 and IPv4 in turn.
func (d *dialer) judge(got []answer, port uint16) ([]netip.AddrPort, error) {
	var v4, v6 []netip.AddrPort
	blocked := 0
	for _, a := range got {
		// A resolver leaves out the IPv4 addresses that stand among the IPv6 ones (::ffff:192.0.2.1), which nobody needs who
		// means well.
		if unfit := (*net.AddrError)(nil); errors.As(a.err, &unfit) {
			blocked++
		}
		for _, addr := range a.addrs {
			target := netip.AddrPortFrom(addr.Unmap(), port)
			switch {
			case d.guard.own.listens(target):
				return nil, errOwn
			case !d.guard.allows(target):
				blocked++
			}

			if target.Addr().Is4() {
				v4 = append(v4, target)
			} else {
				v6 = append(v6, target)
			}
		}
	}

	switch n := len(v4) + len(v6); {
	case blocked > 0 && blocked >= n:
		return nil, ErrBlocked
	case blocked > 0:
		return nil, errMixed
	case n == 0:
		return nil, noAddress(got)
	}
	return inTurn(v6, v4), nil
}

// inTurn returns the items of two lists, one of each at a time.
func inTurn(a, b []netip.AddrPort) []netip.AddrPort {
	list := make([]netip.AddrPort, 0, len(a)+len(b))
	for i := range max(len(a), len(b)) {
		if i < len(a) {
			list = append(list, a[i])
		}
		if i < len(b) {
			list = append(list, b[i])
		}
	}
	return list
}

// noAddress returns why there is none: that the name does not exist only if both questions say so.
func noAddress(got []answer) error {
	err := error(&net.AddrError{Err: "no address"})
	for _, a := range got {
		dns := (*net.DNSError)(nil)
		switch {
		case a.err == nil:
		case errors.As(a.err, &dns) && dns.IsNotFound:
			err = a.err
		default:
			return a.err
		}
	}
	return err
}
