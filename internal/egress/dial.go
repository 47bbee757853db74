package egress

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/outhook/outhook/internal/egress/wire"
)

// attemptDelay is after how long the next address of a name is tried too (RFC 8305, section 5), and resolutionDelay how
// long one family's addresses wait for the other's (section 3 and 8).
const (
	attemptDelay    = 250 * time.Millisecond
	resolutionDelay = 50 * time.Millisecond
)

// dialer makes connections.
type dialer struct {
	guard    guard
	resolver *net.Resolver
	tls      *tls.Config
	net      net.Dialer
	outage   *outage
}

func newDialer(cfg Config, g guard, o *outage) *dialer {
	resolver := cfg.Resolver
	if resolver == nil {
		resolver = newResolver((&net.Dialer{}).DialContext)
	}
	return &dialer{
		guard: g, resolver: resolver, outage: o, net: net.Dialer{ControlContext: g.control},
		tls: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: cfg.RootCAs},
	}
}

// dial connects to one of a host's addresses and agrees on a protocol.
func (d *dialer) dial(ctx context.Context, key wire.Key, http1 bool, progress *wire.Dialing) (*wire.Made, error) {
	host, port, err := net.SplitHostPort(key.Address)
	if err != nil {
		return nil, fmt.Errorf("reading the address: %w", err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("reading the port: %w", err)
	}

	raw, err := d.connect(ctx, host, uint16(n), progress)
	if err != nil {
		return nil, err
	}
	d.outage.reach()
	progress.Connected(raw.RemoteAddr())
	conn := wire.NewConn(raw, key.TLS)
	if !key.TLS {
		return http1Made(conn, conn), nil
	}

	progress.Reach(wire.Handshaking)
	cfg := d.tls.Clone()
	cfg.ServerName, cfg.NextProtos = host, []string{"h2", "http/1.1"}
	if http1 {
		cfg.NextProtos = cfg.NextProtos[1:]
	}
	secure := tls.Client(conn, cfg)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err //nolint:wrapcheck // classified by its text and type
	}

	if secure.ConnectionState().NegotiatedProtocol == "h2" {
		return &wire.Made{Conn: conn, Stream: secure, HTTP2: true}, nil
	}
	return http1Made(conn, secure), nil
}

func http1Made(conn *wire.Conn, stream net.Conn) *wire.Made {
	s := newIdentityConn(stream)
	return &wire.Made{Conn: conn, Stream: s, Begin: s.begin}
}

// connected is one address's outcome.
type connected struct {
	conn net.Conn
	err  error
}

// connect tries a host's addresses, one after the other as they fail, and the next one also if one takes long.
func (d *dialer) connect(ctx context.Context, host string, port uint16, progress *wire.Dialing) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	addrs, err := d.find(ctx, host, port, progress)
	if err != nil {
		return nil, err
	}
	progress.Reach(wire.Connecting)

	outcomes := make(chan connected)
	var first error
	for next, running := 0, 0; ; {
		var late <-chan time.Time
		if next < len(addrs.list) {
			go d.connectTo(ctx, addrs.list[next], outcomes)
			next, running = next+1, running+1
			late = time.After(attemptDelay)
		}

		select {
		case o := <-outcomes:
			if o.err == nil {
				return o.conn, nil
			}
			first, running = worse(first, o.err), running-1
		case <-late:
		case more := <-addrs.late:
			addrs.list, addrs.late = append(addrs.list, more...), nil
		case <-ctx.Done():
			return nil, ctx.Err() //nolint:wrapcheck // the caller's own
		}

		if running == 0 && next == len(addrs.list) {
			return nil, first
		}
	}
}

// worse returns the error that says more of the two: the first one, unless the other is that an address is blocked.
func worse(first, other error) error {
	if first == nil || isBlocked(other) {
		return other
	}
	return first
}

func (d *dialer) connectTo(ctx context.Context, addr netip.AddrPort, outcomes chan<- connected) {
	conn, err := d.net.DialContext(ctx, "tcp", addr.String())
	select {
	case outcomes <- connected{conn, err}:
	case <-ctx.Done():
		if conn != nil {
			_ = conn.Close()
		}
	}
}
