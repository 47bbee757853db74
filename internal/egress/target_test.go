package egress_test

import (
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/egress"
)

func TestCheckURLTakesEndpoints(t *testing.T) {
	t.Parallel()
	client := setup(t, egress.Config{Allow: []netip.Prefix{}})
	for _, raw := range []string{
		"https://example.com", "http://example.com/", "HTTPS://EXAMPLE.COM/Path", "https://example.com:8443/a/b?c=d&e=%20",
		"https://a_b.example.com/", "https://xn--bcher-kva.example/", "https://bücher.example/", "https://例え.jp:443/",
		"https://8.8.8.8/", "https://8.8.8.8:65535/", "https://[2606:4700:4700::1111]/", "https://[2606:4700:4700::1111]:1/",
		"https://1password.com/", "https://0x.example.com/", "https://10.example.com/", "https://example.com?x",
		"https://example.com/" + strings.Repeat("p", 2028), "https://example.com//evil.example/", "https://example.com/@user:x",
		"https://" + strings.Repeat(strings.Repeat("a", 63)+".", 3) + strings.Repeat("b", 61) + "/",
	} {
		require.NoError(t, client.CheckURL(raw), raw)
	}
}

func TestCheckURLRefusesEverythingElse(t *testing.T) {
	t.Parallel()
	client := setup(t, egress.Config{Allow: []netip.Prefix{}})
	cases := map[string]struct {
		raw  string
		want string
	}{
		"Empty":                {"", "https://"},
		"Relative":             {"/s3cret", "https://"},
		"NoScheme":             {"//s3cret.example/", "https://"},
		"FTP":                  {"ftp://s3cret.example/", "https://"},
		"File":                 {"file:///s3cret", "https://"},
		"Gopher":               {"gopher://s3cret.example:70/_x", "https://"},
		"JavaScript":           {"javascript:s3cret()", "https://"},
		"Opaque":               {"http:s3cret.example", "host"},
		"NoHost":               {"https:///s3cret", "host"},
		"OnlyPort":             {"https://:443/s3cret", "host"},
		"UserName":             {"https://s3cret@example.com/", "user name"},
		"Password":             {"https://u:s3cret@example.com/", "user name"},
		"EmptyUser":            {"https://@example.com/s3cret", "user name"},
		"Fragment":             {"https://example.com/#s3cret", "fragment"},
		"EmptyFragment":        {"https://example.com/s3cret#", "fragment"},
		"Port0":                {"https://example.com:0/s3cret", "port"},
		"Port65536":            {"https://example.com:65536/s3cret", "port"},
		"PortWithZero":         {"https://example.com:0443/s3cret", "port"},
		"PortEmpty":            {"https://example.com:/s3cret", "port"},
		"PortName":             {"https://example.com:https/s3cret", "parsed"},
		"TwoPorts":             {"https://example.com:443:443/s3cret", "parsed"},
		"TooLong":              {"https://example.com/s3cret" + strings.Repeat("p", 2023), "2048"},
		"Space":                {"https://example.com/s3cret x", "spaces"},
		"LineBreak":            {"https://example.com/s3cret\r\nHost: x", "spaces"},
		"NUL":                  {"https://example.com/s3cret\x00", "spaces"},
		"Delete":               {"https://example.com/s3cret\x7f", "spaces"},
		"InvalidUTF8":          {"https://example.com/s3cret\xff", "UTF-8"},
		"BadEscape":            {"https://example.com/s3cret%zz", "%25"},
		"BadEscapeInQuery":     {"https://example.com/?s3cret=100%", "%25"},
		"HalfAnEscape":         {"https://example.com/s3cret?x=%4", "%25"},
		"EscapeOfNonASCII":     {"https://example.com/s3cret%é", "%25"},
		"SpaceAtTheEnd":        {"https://example.com/s3cret ", "ends in a space"},
		"LineBreakAtTheEnd":    {"https://example.com/s3cret\r\n", "ends in a space"},
		"SpaceAtTheBeginning":  {" https://example.com/s3cret", "starts or ends"},
		"NoBreakSpaceAtTheEnd": {"https://example.com/s3cret\u00a0", "ends in a space"},
		"ZeroWidthAtTheEnd":    {"https://example.com/s3cret\u200b", "can't be seen"},
		"ByteOrderMark":        {"\ufeffhttps://example.com/s3cret", "can't be seen"},
		"Backslash":            {`https://example.com\@s3cret.example/`, "parsed"},
		"EscapedHost":          {"https://%65xample.com/s3cret", "parsed"},
		"TrailingDot":          {"https://example.com./s3cret", "full stop"},
		"OneLabel":             {"https://s3cret/", "OUTHOOK_EGRESS_ALLOW"},
		"OneLabelWithPort":     {"https://s3cret:443/", "OUTHOOK_EGRESS_ALLOW"},
		"OneForeignLabel":      {"https://例え/s3cret", "OUTHOOK_EGRESS_ALLOW"},
		"Localhost":            {"https://localhost/s3cret", "OUTHOOK_EGRESS_ALLOW"},
		"EmptyLabel":           {"https://example..com/s3cret", "labels"},
		"LeadingDot":           {"https://.example.com/s3cret", "labels"},
		"LabelOf64":            {"https://" + strings.Repeat("a", 64) + ".com/s3cret", "labels"},
		"HostOver253":          {"https://" + strings.Repeat("a.", 130) + "com/s3cret", "253"},
		"StarInHost":           {"https://*.example.com/s3cret", "labels"},
		"CommaInHost":          {"https://a,b.example.com/s3cret", "labels"},
		"OnlyASoftHyphen":      {"https://\u00ad.example/s3cret", "labels"},
		"CombiningMarkFirst":   {"https://\u0301x.example/s3cret", "domain name"},
		"HexDotted":            {"http://0x7f.1/s3cret", "IP address"},
		"Hex":                  {"http://0x7f000001/s3cret", "IP address"},
		"HexNothing":           {"http://127.0.0.0x/s3cret", "IP address"},
		"Decimal":              {"http://2130706433/s3cret", "IP address"},
		"Octal":                {"http://0177.0.0.1/s3cret", "IP address"},
		"OctalPadded":          {"http://127.0.0.01/s3cret", "IP address"},
		"ThreeParts":           {"http://127.0.1/s3cret", "IP address"},
		"TwoParts":             {"http://127.1/s3cret", "IP address"},
		"OnePart":              {"http://0/s3cret", "IP address"},
		"FiveParts":            {"http://1.2.3.4.5/s3cret", "IP address"},
		"PartOver255":          {"http://1.2.3.256/s3cret", "IP address"},
		"NumericTLD":           {"http://example.123/s3cret", "IP address"},
		"FullWidthDigits":      {"http://１２７.0.0.1/s3cret", "publicly"},
		"IdeographicStops":     {"http://127。0。0。1/s3cret", "publicly"},
		"CircledDigits":        {"http://①②⑦.⓪.⓪.①/s3cret", "publicly"},
		"FullWidthOctal":       {"http://０177.0.0.1/s3cret", "IP address"},
		"Loopback":             {"http://127.0.0.1/s3cret", "publicly"},
		"Metadata":             {"http://169.254.169.254/s3cret", "publicly"},
		"IPv6Loopback":         {"http://[::1]/s3cret", "publicly"},
		"IPv6Long":             {"http://[0:0:0:0:0:0:0:1]/s3cret", "publicly"},
		"IPv6Mapped":           {"http://[::ffff:8.8.8.8]/s3cret", "publicly"},
		"IPv6Zone":             {"http://[fe80::1%25eth0]/s3cret", "IP address"},
		"IPv6PublicZone":       {"http://[2606:4700:4700::1111%25lo]/s3cret", "IP address"},
		"IPv4InBrackets":       {"http://[8.8.8.8]/s3cret", ""},
		"NameInBrackets":       {"http://[example.com]/s3cret", ""},
		"IPv6WithoutBrackets":  {"http://2606:4700:4700::1111/s3cret", ""},
		"TextBehindTheBracket": {"http://[::1]x/s3cret", "parsed"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := client.CheckURL(c.raw)
			require.Error(t, err)
			require.ErrorContains(t, err, c.want)
			requireNoURL(t, err)
			res := client.Post(t.Context(), egress.Request{URL: c.raw, Body: []byte("{}")})
			requireSound(t, res)
			require.Equal(t, egress.Blocked, res.Outcome)
			require.False(t, res.Sent)
		})
	}
}

// Names of one label belong to a network of one's own, which Allow is for: Docker's, and those of /etc/hosts.
func TestNamesOfOneLabelNeedAllow(t *testing.T) {
	t.Parallel()
	receiver := serve(t, func(http.ResponseWriter, *http.Request) {})
	cfg := egress.Config{Resolver: serveDNS(t, always("127.0.0.1"))}
	url := byName(t, receiver.Listener.Addr().String(), "http", "app")

	client := setup(t, cfg)
	require.NoError(t, client.CheckURL(url))
	res := post(t, client, url)
	require.Equal(t, egress.Succeeded, res.Outcome, res.Error)

	cfg.Allow = []netip.Prefix{}
	client = setup(t, cfg)
	require.ErrorIs(t, client.CheckURL(url), egress.ErrInvalidURL)
	res = post(t, client, url)
	require.Equal(t, egress.Blocked, res.Outcome, res.Error)
	require.Empty(t, res.RemoteAddr)
}

func requireNoURL(t *testing.T, err error) {
	t.Helper()
	require.NotContains(t, err.Error(), "s3cret")
	require.NotContains(t, err.Error(), "example")
}

// An international name is looked up and shown to the receiver in ASCII.
func TestInternationalNamesAreSentInASCII(t *testing.T) {
	t.Parallel()
	hosts := make(chan string, 1)
	receiver := serve(t, func(_ http.ResponseWriter, r *http.Request) { hosts <- r.Host })
	resolver := serveDNS(t, func(name string, _ int) []netip.Addr {
		if name != "xn--bcher-kva.example" {
			return nil
		}
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	})
	client := setup(t, egress.Config{Resolver: resolver})
	res := post(t, client, byName(t, receiver.Listener.Addr().String(), "http", "Bücher.example"))
	require.Equal(t, egress.Succeeded, res.Outcome, res.Error)
	require.Regexp(t, `^xn--bcher-kva\.example:\d+$`, <-hosts)
}

// oldIPv4 is every spelling that a C library may take for an IPv4 address.
var oldIPv4 = regexp.MustCompile(`(?i)^(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]+)){0,3}$`)

// FuzzCheckURL looks for a URL that passes and whose host another parser could take for an address that is blocked,
// and for an error that repeats the URL.
func FuzzCheckURL(f *testing.F) {
	for _, raw := range []string{
		"https://example.com/a?b=c", "http://127.0.0.1", "http://[::1]:80/", "http://0x7f.1/", "http://１２７。0.0.1", "http://a@b/",
		"https://[2606:4700::1]:443/x", "http://8.8.8.8:53", "http://例え.jp/%41", "http://[::ffff:1.2.3.4]/", "http://h:0/#f",
	} {
		f.Add(raw)
	}
	client, err := egress.New(egress.Config{})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, raw string) {
		if err := client.CheckURL(raw); err != nil {
			require.LessOrEqual(t, len(err.Error()), 150, "errors are our own words")
			return
		}
		u, err := url.Parse(raw)
		require.NoError(t, err)
		require.Contains(t, []string{"http", "https"}, u.Scheme)
		require.Nil(t, u.User)
		require.Empty(t, u.Fragment)
		require.NotEmpty(t, u.Hostname())
		require.NotContains(t, u.Host, "%")
		host := u.Hostname()
		if addr, err := netip.ParseAddr(host); err == nil {
			require.True(t, addr.IsGlobalUnicast() && !addr.IsPrivate() && !addr.Is4In6() && addr.Zone() == "")
			return
		}
		require.NotRegexp(t, oldIPv4, host)
	})
}

func TestHostHasOneSpelling(t *testing.T) {
	t.Parallel()
	client := setup(t, egress.Config{Allow: []netip.Prefix{netip.MustParsePrefix("::1/128")}})
	for url, host := range map[string]string{
		"https://hooks.example.com/a/b?c=d:e": "hooks.example.com",
		"https://HOOKS.example.com:8443":      "hooks.example.com",
		"https://hooks.example.com?a=b":       "hooks.example.com",
		"https://8.8.8.8:443/":                "8.8.8.8",
		"https://bücher.example/":             "xn--bcher-kva.example",
		"https://BÜCHER.example:443/":         "xn--bcher-kva.example",
		"http://[0:0::1]:8080/":               "::1",
	} {
		require.NoError(t, client.CheckURL(url), url)
		require.Equal(t, host, client.Host(url), url)
	}
}
