package egress

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
)

// ownError is ErrBlocked with a text of its own.
type ownError struct{}

func (ownError) Error() string {
	return "address is one that Outhook itself listens on; give the receiver's"
}

func (ownError) Is(target error) bool { return target == ErrBlocked }

// ownAddrs holds addresses of this system's own servers. There are a handful.
type ownAddrs struct {
	mu    sync.RWMutex
	hosts []netip.AddrPort // the database's: nothing else of the host is reached, unless Config.Allow holds it
	ports []netip.AddrPort // this process' own listeners
}

// Block keeps requests from an address of this system's own, the database's: from the whole host, or, if Config.Allow
// holds the host, from that port of it. It may be called at any time, also again with the same address.
func (c *Client) Block(addr netip.AddrPort) { c.guard.own.add(&c.guard.own.hosts, addr) }

// BlockPort keeps requests from an address that this process itself listens on: what leads there would come back. The
// other ports of the host are not its matter. The unspecified address, 0.0.0.0 or [::], is each one that this machine
// has now. It may be called at any time.
func (c *Client) BlockPort(addr netip.AddrPort) error {
	if !addr.Addr().IsUnspecified() {
		c.guard.own.add(&c.guard.own.ports, addr)
		return nil
	}

	all, err := net.InterfaceAddrs()
	if err != nil {
		return fmt.Errorf("listing this machine's addresses: %w", err)
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			c.guard.own.add(&c.guard.own.ports, netip.AddrPortFrom(p.Addr(), addr.Port()))
		}
	}
	return nil
}

func (o *ownAddrs) add(list *[]netip.AddrPort, addr netip.AddrPort) {
	addr = netip.AddrPortFrom(addr.Addr().Unmap().WithZone(""), addr.Port())
	if !addr.IsValid() {
		return
	}

	o.mu.Lock()
	defer o.mu.Unlock()

	if !slices.Contains(*list, addr) {
		*list = append(*list, addr)
	}
}

// has tells whether an address is one of them, and listens whether it is this process' own.
func (o *ownAddrs) has(addr netip.AddrPort) bool {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return slices.Contains(o.hosts, addr) || slices.Contains(o.ports, addr)
}

func (o *ownAddrs) listens(addr netip.AddrPort) bool {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return slices.Contains(o.ports, addr)
}

func (o *ownAddrs) hasHost(addr netip.Addr) bool {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return slices.ContainsFunc(o.hosts, func(own netip.AddrPort) bool { return own.Addr() == addr })
}
