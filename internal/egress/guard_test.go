package egress_test

import (
	_ "embed"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/egress"
)

// corpusFile holds addresses and spellings with the verdict on each; its head explains it.
//
//go:embed testdata/ssrf.txt
var corpusFile string

// corpus returns the texts of the corpus with a verdict and a kind.
func corpus(t testing.TB, verdict, kind string) (list []string) {
	t.Helper()
	for line := range strings.Lines(corpusFile) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.SplitN(line, " ", 3)
		require.Len(t, fields, 3, line)
		require.Contains(t, []string{"block", "allow"}, fields[0])
		require.Contains(t, []string{"addr", "url"}, fields[1])
		if fields[0] == verdict && fields[1] == kind {
			require.NotContains(t, list, fields[2])
			list = append(list, fields[2])
		}
	}
	return list
}

func TestCorpusIsLarge(t *testing.T) {
	t.Parallel()
	for kind, least := range map[string]int{"block addr": 110, "allow addr": 30, "block url": 110, "allow url": 8} {
		verdict, kind, _ := strings.Cut(kind, " ")
		n := len(corpus(t, verdict, kind))
		t.Logf("%s %s: %d", verdict, kind, n)
		require.GreaterOrEqual(t, n, least, "%s %s", verdict, kind)
	}
}

// Whatever is stored as a URL is judged again when it is sent. Each name leads to a receiver that may be reached.
func TestSpellingsThatAttackAreRejected(t *testing.T) {
	t.Parallel()
	receiver := serveRaw(t, answerRaw("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	// Only loopback's IPv4 is a receiver's, so that a spelling of loopback is rejected for its form.
	client := setup(t, egress.Config{Allow: []netip.Prefix{}, Resolver: serveDNS(t, always("127.0.0.1"))})
	for _, raw := range corpus(t, "block", "url") {
		err := client.CheckURL(raw)
		require.Error(t, err, raw)
		require.True(t, errors.Is(err, egress.ErrInvalidURL) || errors.Is(err, egress.ErrBlocked), raw)
		res := client.Post(t.Context(), egress.Request{URL: raw, Body: []byte("{}")})
		require.Equal(t, egress.Blocked, res.Outcome, raw)
		require.False(t, res.Sent, raw)
		require.Empty(t, res.RemoteAddr, raw)
	}
	require.Zero(t, receiver.conns.Load())
	for _, raw := range corpus(t, "allow", "url") {
		require.NoError(t, client.CheckURL(raw), raw)
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
	for _, addr := range corpus(t, "block", "addr") {
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
	for _, addr := range corpus(t, "allow", "addr") {
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

// One address that is blocked among a name's answers blocks the name, whichever comes first and of either family.
func TestNameWithMixedAnswersIsBlocked(t *testing.T) {
	t.Parallel()
	receiver := serve(t, func(http.ResponseWriter, *http.Request) {})
	allow := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")} // the public address of this test
	url := byName(t, receiver.Listener.Addr().String(), "http", "mixed.example")
	for _, answers := range [][]string{
		{"127.0.0.2", "127.0.0.1"},
		{"127.0.0.1", "127.0.0.2"},
		{"127.0.0.1", "10.0.0.1"},
		{"127.0.0.1", "169.254.169.254"},
		{"127.0.0.1", "::1"},
		{"127.0.0.1", "fd00:ec2::254"},
		{"127.0.0.1", "::ffff:10.0.0.1"},
		{"127.0.0.1", "64:ff9b::a00:1"},
		{"127.0.0.1", "127.0.0.1", "127.0.0.1", "0.0.0.0"},
	} {
		client := setup(t, egress.Config{Allow: allow, Resolver: serveDNS(t, always(answers...))})
		res := post(t, client, url)
		require.Equal(t, egress.Blocked, res.Outcome, "%v: %s", answers, res.Error)
		require.Contains(t, res.Error, "blocked: address is not publicly routable")
		require.False(t, res.Sent)
	}
	// The same way with one answer does lead to the receiver.
	client := setup(t, egress.Config{Allow: allow, Resolver: serveDNS(t, always("127.0.0.1", "127.0.0.1"))})
	require.Equal(t, egress.Succeeded, post(t, client, url).Outcome)
}

// A name server that answers in turn with a public and a private address gets nowhere, however often it is asked: the
// answer that is judged is the one that is connected to.
func TestDNSThatFlipsIsBlockedEveryTime(t *testing.T) {
	t.Parallel()
	private := serveRaw(t, untilClosed)
	asked := make(chan int, 1000)
	client := setup(t, egress.Config{
		Allow: []netip.Prefix{},
		Resolver: serveDNS(t, func(_ string, n int) []netip.Addr {
			asked <- n
			if n%2 == 1 {
				return []netip.Addr{netip.MustParseAddr("192.0.2.1")} // documentation: blocked too, and never answers
			}
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}
		}),
	})
	for range 20 {
		res := post(t, client, byName(t, private.address, "http", "flip.example"))
		require.Equal(t, egress.Blocked, res.Outcome, res.Error)
		require.False(t, res.Sent)
	}
	require.GreaterOrEqual(t, len(asked), 20, "nothing is remembered")
	require.Zero(t, private.conns.Load())
}

func TestDatabaseIsBlocked(t *testing.T) {
	t.Parallel()
	receiver := serve(t, func(http.ResponseWriter, *http.Request) {})
	database := serveRaw(t, untilClosed)
	address := netip.MustParseAddrPort(database.address)

	t.Run("OnAnAllowedHostByItsPort", func(t *testing.T) {
		t.Parallel()
		client := setup(t, egress.Config{Resolver: serveDNS(t, always("127.0.0.1"))})
		client.Block(address)
		client.Block(address)
		require.ErrorIs(t, client.CheckURL("http://"+database.address), egress.ErrBlocked)
		for _, url := range []string{"http://" + database.address, byName(t, database.address, "http", "db.example")} {
			require.Equal(t, egress.Blocked, post(t, client, url).Outcome)
		}
		require.Zero(t, database.conns.Load())
		require.Equal(t, egress.Succeeded, post(t, client, receiver.URL).Outcome)
	})

	// What is known later than a connection was made ends its use.
	t.Run("OnAConnectionThatIsThere", func(t *testing.T) {
		t.Parallel()
		client := setup(t, egress.Config{Resolver: serveDNS(t, always("127.0.0.1")), IdleTimeout: time.Minute})
		kept := serve(t, func(http.ResponseWriter, *http.Request) {})
		url := byName(t, kept.Listener.Addr().String(), "http", "kept.example")
		require.Equal(t, egress.Succeeded, post(t, client, url).Outcome)
		client.Block(netip.MustParseAddrPort(kept.Listener.Addr().String()))
		require.Equal(t, egress.Blocked, post(t, client, url).Outcome)
	})

	t.Run("OnAPublicHostAsAWhole", func(t *testing.T) {
		t.Parallel()
		for _, own := range []string{"8.8.8.8", "::ffff:8.8.8.8", "2606:4700:4700::1111"} {
			client := setup(t, egress.Config{Allow: []netip.Prefix{}, Resolver: serveDNS(t, always(own))})
			literal := literalURL(netip.MustParseAddr(own).Unmap().String())
			require.NoError(t, client.CheckURL(literal))
			client.Block(netip.AddrPortFrom(netip.MustParseAddr(own), 5432))
			require.ErrorIs(t, client.CheckURL(literal), egress.ErrBlocked)
			require.Equal(t, egress.Blocked, post(t, client, "https://db.example").Outcome)
			require.NoError(t, client.CheckURL("https://8.8.4.4/"))
		}
	})
}

// What this process listens on is no target, whatever is allowed; the rest of its machine is not touched by that.
func TestOwnListenersAreBlocked(t *testing.T) {
	t.Parallel()
	receiver := serve(t, func(http.ResponseWriter, *http.Request) {})
	own := serveRaw(t, untilClosed)
	address := netip.MustParseAddrPort(own.address)
	for name, listens := range map[string]netip.AddrPort{
		"OnAnAddress": address, "OnAll": netip.AddrPortFrom(netip.IPv6Unspecified(), address.Port()),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := setup(t, egress.Config{Resolver: serveDNS(t, always("127.0.0.1"))})
			require.NoError(t, client.BlockPort(listens))
			err := client.CheckURL("http://" + own.address)
			require.ErrorIs(t, err, egress.ErrBlocked)
			require.ErrorContains(t, err, "Outhook itself")
			for _, url := range []string{"http://" + own.address, byName(t, own.address, "http", "api.example")} {
				res := post(t, client, url)
				require.Equal(t, egress.Blocked, res.Outcome)
				require.Contains(t, res.Error, "Outhook itself")
			}
			require.Zero(t, own.conns.Load())
			require.Equal(t, egress.Succeeded, post(t, client, receiver.URL).Outcome)
		})
	}

	t.Run("OnAPublicAddressByItsPort", func(t *testing.T) {
		t.Parallel()
		client := setup(t, egress.Config{Allow: []netip.Prefix{}})
		require.NoError(t, client.BlockPort(netip.MustParseAddrPort("8.8.8.8:8080")))
		require.ErrorIs(t, client.CheckURL("http://8.8.8.8:8080/"), egress.ErrBlocked)
		require.NoError(t, client.CheckURL("https://8.8.8.8/"))
	})
}

func TestPortsAreLimited(t *testing.T) {
	t.Parallel()
	client := setup(t, egress.Config{Allow: []netip.Prefix{}, Ports: []uint16{80, 443, 8080, 8443}})
	for _, raw := range []string{
		"http://example.com", "https://example.com", "https://example.com:80", "https://example.com:8443", "http://8.8.8.8:8080",
	} {
		require.NoError(t, client.CheckURL(raw), raw)
	}
	for _, raw := range []string{
		"https://example.com:22", "https://example.com:25", "http://8.8.8.8:5432", "http://[2606:4700:4700::1111]:6379", "https://example.com:8444",
	} {
		require.ErrorIs(t, client.CheckURL(raw), egress.ErrInvalidURL, raw)
		require.ErrorContains(t, client.CheckURL(raw), "80, 443, 8080, 8443", raw)
		require.Equal(t, egress.Blocked, post(t, client, raw).Outcome, raw)
	}
	require.ErrorIs(t, client.Control("tcp4", "8.8.8.8:22"), egress.ErrBlocked)
}

func TestHTTPSOnly(t *testing.T) {
	t.Parallel()
	receiver := serveRaw(t, untilClosed)
	client := setup(t, egress.Config{HTTPSOnly: true})
	require.NoError(t, client.CheckURL("https://example.com"))
	require.ErrorContains(t, client.CheckURL("http://example.com"), "https://")
	require.Equal(t, egress.Blocked, post(t, client, receiver.url).Outcome)
	require.Zero(t, receiver.conns.Load())
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
	for _, addr := range append(corpus(f, "block", "addr"), corpus(f, "allow", "addr")...) {
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
