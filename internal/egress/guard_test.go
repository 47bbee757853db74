package egress_test

import (
	"net"
	"net/http"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/egress"
)

// blockedAddrs holds the first and last or best known address of each range that is not publicly routable.
func blockedAddrs() []string {
	return []string{
		// This host, RFC 791.
		"0.0.0.0", "0.0.0.1", "0.255.255.255",
		// Private, RFC 1918.
		"10.0.0.0", "10.0.0.1", "10.255.255.255", "172.16.0.0", "172.16.0.1", "172.31.255.255", "192.168.0.0",
		"192.168.1.1", "192.168.255.255",
		// Shared by carriers, RFC 6598; the second is Alibaba Cloud's metadata server.
		"100.64.0.0", "100.100.100.200", "100.127.255.255",
		// Loopback.
		"127.0.0.0", "127.0.0.1", "127.0.0.53", "127.255.255.255",
		// Link-local, RFC 3927; metadata servers: AWS, Azure, GCP; AWS ECS; Tencent.
		"169.254.0.0", "169.254.169.254", "169.254.170.2", "169.254.0.23", "169.254.255.255",
		// Azure's host agent.
		"168.63.129.16",
		// IETF protocols; the second is Oracle Cloud's metadata server.
		"192.0.0.0", "192.0.0.192", "192.0.0.255",
		// Documentation, RFC 5737.
		"192.0.2.1", "198.51.100.1", "203.0.113.1", "203.0.113.255",
		// 6to4 relays, AS112, AMT.
		"192.88.99.1", "192.31.196.1", "192.175.48.1", "192.52.193.1",
		// Benchmarks, RFC 2544.
		"198.18.0.0", "198.19.255.255",
		// Multicast, reserved, broadcast.
		"224.0.0.1", "239.255.255.255", "240.0.0.1", "254.255.255.255", "255.255.255.255",
		// IPv6: unspecified, loopback.
		"::", "::1",
		// IPv4-compatible and IPv4-mapped, of private and of public addresses.
		"::2", "::7f00:1", "::808:808", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
		// IPv4-translated, RFC 2765.
		"::ffff:0:127.0.0.1", "::ffff:0:8.8.8.8",
		// NAT64, well-known and local.
		"64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b::a9fe:a9fe", "64:ff9b:1::7f00:1", "64:ff9b:1:ffff::1",
		// Discard only, RFC 6666.
		"100::1",
		// IETF protocols: Teredo, benchmarks, AMT, ORCHID.
		"2001::1", "2001:0:7f00:1::", "2001:2::1", "2001:3::1", "2001:10::1", "2001:20::1", "2001:1ff:ffff::1",
		// Documentation, RFC 3849 and RFC 9637.
		"2001:db8::1", "3fff::1", "3fff:fff:ffff::1",
		// 6to4 of loopback, private, metadata and public addresses.
		"2002:7f00:1::1", "2002:a00:1::1", "2002:a9fe:a9fe::1", "2002:808:808::1",
		// AS112; 6bone; segment routing.
		"2620:4f:8000::1", "3ffe::1", "5f00::1",
		// Unique local; the last two are the metadata servers of AWS and GCP.
		"fc00::1", "fdff:ffff::1", "fd00:ec2::254", "fd20:ce::254",
		// Link-local, the old site-local, multicast.
		"fe80::1", "febf:ffff::1", "fec0::1", "feff::1", "ff00::1", "ff02::1", "ff0e::1",
		// Not assigned by IANA.
		"1::1", "4000::1", "8000::1", "e000::1",
	}
}

func publicAddrs() []string {
	return []string{
		"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.1", "100.63.255.255", "100.128.0.1", "126.255.255.255", "128.0.0.1",
		"168.63.129.15", "168.63.129.17", "169.253.255.255", "172.15.255.255", "172.32.0.1", "192.167.255.255",
		"198.17.255.255", "198.20.0.1", "223.255.255.255", "2001:200::1", "2001:4860:4860::8888", "2400:cb00::1",
		"2606:4700:4700::1111", "2a00:1450:4001::1",
	}
}

func literalURL(addr string) string {
	if netip.MustParseAddr(addr).Is6() {
		return "http://[" + addr + "]"
	}
	return "http://" + addr
}

func TestAddressesThatAreNotPublicAreBlocked(t *testing.T) {
	t.Parallel()
	require.GreaterOrEqual(t, len(blockedAddrs()), 60)
	for _, addr := range blockedAddrs() {
		t.Run(addr, func(t *testing.T) {
			t.Parallel()
			client := setup(t, egress.Config{Allow: []netip.Prefix{}, Resolver: serveDNS(t, always(addr))})
			require.ErrorIs(t, client.CheckURL(literalURL(addr)+secretPath), egress.ErrBlocked)
			res := post(t, client, literalURL(addr))
			require.Equal(t, egress.Blocked, res.Outcome)

			// The same by DNS: what the dialer sees.
			res = post(t, client, "http://name.example")
			require.Equal(t, egress.Blocked, res.Outcome, res.Error)
			require.Equal(t, "blocked: address is not publicly routable", res.Error)
			require.Empty(t, res.RemoteAddr)
			require.False(t, res.Sent)
		})
	}
}

func TestPublicAddressesAreAllowed(t *testing.T) {
	t.Parallel()
	client := setup(t, egress.Config{Allow: []netip.Prefix{}})
	for _, addr := range publicAddrs() {
		require.NoError(t, client.CheckURL(literalURL(addr)), addr)
		require.NoError(t, client.Control(network(addr), net.JoinHostPort(addr, "8443")), addr)
	}
}

func network(addr string) string {
	if netip.MustParseAddr(addr).Is6() {
		return "tcp6"
	}
	return "tcp4"
}

func TestOnlyTCPMayLeave(t *testing.T) {
	t.Parallel()
	client := setup(t, egress.Config{})
	for _, network := range []string{"udp4", "udp6", "unix", "ip4:icmp", "tcp"} {
		require.ErrorIs(t, client.Control(network, "1.1.1.1:80"), egress.ErrBlocked, network)
	}
	require.ErrorIs(t, client.Control("tcp4", "not an address"), egress.ErrBlocked)
}

func TestAllowOpensItsRangeAndNoMore(t *testing.T) {
	t.Parallel()
	client := setup(t, egress.Config{Allow: []netip.Prefix{
		netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00:1::/32"),
	}})
	for _, addr := range []string{"10.1.0.0", "10.1.255.255", "fd00:1::", "fd00:1:ffff::1", "8.8.8.8"} {
		require.NoError(t, client.CheckURL(literalURL(addr)), addr)
	}
	for _, addr := range []string{"10.0.255.255", "10.2.0.0", "fd00:2::", "::ffff:10.1.0.1", "127.0.0.1", "2002:a01:1::"} {
		require.ErrorIs(t, client.CheckURL(literalURL(addr)), egress.ErrBlocked, addr)
	}
}

func TestAllowingAllOfIPv6DoesNotOpenIPv4(t *testing.T) {
	t.Parallel()
	client := setup(t, egress.Config{
		Allow: []netip.Prefix{netip.MustParsePrefix("::/0")}, Resolver: serveDNS(t, always("::ffff:127.0.0.1")),
	})
	require.NoError(t, client.CheckURL("http://[fd00::1]/"))
	require.ErrorIs(t, client.CheckURL("http://[::ffff:127.0.0.1]/"), egress.ErrBlocked)
	require.Equal(t, egress.Blocked, post(t, client, "http://mapped.example").Outcome)
}

// The check at creation and the connection are two look-ups: a name server that changes its mind gains nothing.
func TestDNSRebindingIsBlocked(t *testing.T) {
	t.Parallel()
	receiver := serveRaw(t, answerRaw("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	rebinding := func() *net.Resolver {
		return serveDNS(t, func(_ string, n int) []netip.Addr {
			if n == 1 {
				return []netip.Addr{netip.MustParseAddr("93.184.216.34")}
			}
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}
		})
	}
	url := byName(t, receiver.address, "http", "rebind.example")

	for _, allow := range [][]netip.Prefix{{}, nil} {
		resolver := rebinding()
		client := setup(t, egress.Config{Allow: allow, Resolver: resolver})
		require.NoError(t, client.CheckURL(url))
		first, err := resolver.LookupNetIP(t.Context(), "ip4", "rebind.example")
		require.NoError(t, err)
		require.Equal(t, "93.184.216.34", first[0].String())

		res := post(t, client, url)
		if allow == nil { // loopback allowed: the same way does lead to the receiver
			require.Equal(t, egress.Succeeded, res.Outcome, res.Error)
			require.EqualValues(t, 1, receiver.conns.Load())
			continue
		}
		require.Equal(t, egress.Blocked, res.Outcome, res.Error)
		require.False(t, res.Sent)
		require.Zero(t, receiver.conns.Load())
	}
}

func TestOfSeveralAddressesOnlyTheAllowedIsReached(t *testing.T) {
	t.Parallel()
	receiver := serve(t, func(http.ResponseWriter, *http.Request) {})
	_, port, err := net.SplitHostPort(receiver.Listener.Addr().String())
	require.NoError(t, err)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort("127.0.0.2", port))
	require.NoError(t, err)
	private := serveListener(t, listener, untilClosed)

	for _, order := range [][]string{{"127.0.0.2", "127.0.0.1"}, {"127.0.0.1", "127.0.0.2"}} {
		client := setup(t, egress.Config{
			Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Resolver: serveDNS(t, always(order...)),
		})
		res := post(t, client, byName(t, private.address, "http", "two.example"))
		require.Equal(t, egress.Succeeded, res.Outcome, res.Error)
		require.Equal(t, receiver.Listener.Addr().String(), res.RemoteAddr)
	}
	require.Zero(t, private.conns.Load())
}

func TestParsePrefixesReadsLists(t *testing.T) {
	t.Parallel()
	for _, empty := range []string{"", " ", "none"} {
		got, err := egress.ParsePrefixes(empty)
		require.NoError(t, err)
		require.Empty(t, got)
	}
	got, err := egress.ParsePrefixes("127.0.0.0/8, ::1/128,fd00::/8")
	require.NoError(t, err)
	require.Equal(t, []netip.Prefix{
		netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("fd00::/8"),
	}, got)
}

func TestParsePrefixesNamesTheBadItem(t *testing.T) {
	t.Parallel()
	for _, item := range []string{
		"localhost", "10.0.0.1", "10.0.0.0/33", "10.0.0.0/8/8", "fe80::%eth0/10", "10.0.0.1/8", "::ffff:10.0.0.0/104", "none",
	} {
		_, err := egress.ParsePrefixes("127.0.0.0/8, " + item)
		require.ErrorContains(t, err, `"`+item+`"`)
	}
	_, err := egress.ParsePrefixes("127.0.0.0/8,")
	require.ErrorContains(t, err, `""`)
}

// FuzzAddrAllowed looks for an address that the guard allows and that netip knows as special, or that holds an IPv4
// address that is not allowed. The two ways to the guard must agree.
func FuzzAddrAllowed(f *testing.F) {
	for _, addr := range append(blockedAddrs(), publicAddrs()...) {
		f.Add(netip.MustParseAddr(addr).AsSlice())
	}
	client, err := egress.New(egress.Config{})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, raw []byte) {
		addr, ok := netip.AddrFromSlice(raw)
		if !ok {
			return
		}
		literal := client.CheckURL(literalURL(addr.String())) == nil
		dialed := client.Control(network(addr.String()), netip.AddrPortFrom(addr, 443).String()) == nil
		require.Equal(t, literal, dialed)
		if !dialed {
			return
		}
		require.True(t, addr.IsGlobalUnicast())
		require.False(t, addr.IsPrivate() || addr.IsLoopback() || addr.IsLinkLocalUnicast() || addr.IsLinkLocalMulticast() ||
			addr.IsInterfaceLocalMulticast() || addr.IsMulticast() || addr.IsUnspecified() || addr.Is4In6())
		if addr.Is6() {
			require.True(t, netip.MustParsePrefix("2000::/3").Contains(addr))
			require.False(t, netip.MustParsePrefix("2002::/16").Contains(addr), "6to4")
			require.False(t, netip.MustParsePrefix("2001::/32").Contains(addr), "Teredo")
		}
	})
}
