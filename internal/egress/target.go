package egress

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// ErrInvalidURL is returned for a URL that can't be an endpoint; the error says what to change. Its text never holds
// the URL, which can be a credential.
var ErrInvalidURL = errors.New("invalid URL")

const (
	// maxURLBytes is what receivers' servers take without configuration: nginx and Apache stop at 8 KiB for the request
	// line, and a URL whose every byte is escaped becomes three times as long.
	maxURLBytes = 2048

	// Lengths of a host name and its labels: RFC 1035, section 2.3.4, less the length byte and the root.
	maxHostBytes  = 253
	maxLabelBytes = 63
)

func invalidURL(text string) error { return fmt.Errorf("%w: %s", ErrInvalidURL, text) }

// CheckURL reports whether an endpoint may have this URL: absolute, http or https (https with Config.HTTPSOnly), at
// most 2048 bytes, a host, a port of Config.Ports, no user information, no fragment, no spaces and control characters,
// no % that is not followed by two hexadecimal digits. An IP address must be written in its usual form and is judged at
// once (ErrBlocked); a name is judged at each connection, by the address that it then has. A name of one label is
// refused unless Config.Allow holds something: only a network of one's own knows such names.
//
// The path and the query are sent as they are written, escapes and dot segments among them. What can't stand in a
// request line is escaped: bytes that are not ASCII, and "<>\^`{|}.
//
// Returns ErrInvalidURL or ErrBlocked, with a text for the person who wrote the URL that never repeats it.
func (c *Client) CheckURL(raw string) error {
	_, err := c.guard.parse(raw)
	return err
}

// Host returns the host of a URL that passes CheckURL, in lower case and without the port, in one spelling whatever the
// URL's. Of any other URL it returns anything.
func (c *Client) Host(raw string) string {
	_, host, _ := strings.Cut(raw, "://")
	if end := strings.IndexAny(host, "/?"); end >= 0 {
		host = host[:end]
	}

	// Nearly all are names in ASCII, which take a tenth of the time.
	if isASCII(host) && !strings.HasPrefix(host, "[") {
		host, _, _ = strings.Cut(host, ":")
		return strings.ToLower(host)
	}
	u, err := c.guard.parse(raw)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// parse returns the URL as it is sent: the host in ASCII, an IPv6 address in its shortest form, the path and the query
// as they are written.
func (g guard) parse(raw string) (*url.URL, error) {
	if err := checkText(raw); err != nil {
		return nil, err
	}

	u, err := url.Parse(raw)
	if err != nil {
		return nil, invalidURL("it can't be parsed") // err repeats the URL
	}

	switch {
	case g.httpsOnly && u.Scheme != "https":
		return nil, invalidURL("it must start with https://")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, invalidURL("it must start with https:// or http://")
	case u.User != nil:
		return nil, invalidURL("it must not hold a user name or password; use a header")
	case u.Hostname() == "":
		return nil, invalidURL("it needs a host")
	}

	// net/url decodes the path, and sends it as it was written only if that has nothing in it to be escaped.
	if u.RawPath != "" {
		u.RawPath = escape(u.RawPath)
	}
	u.RawQuery = escape(u.RawQuery)

	u.Host, err = g.host(u)
	return u, err
}

// escape writes what can't stand in a request line in its escaped form, and leaves everything else as it is, escapes
// too. [ and ] stay as browsers leave them, though RFC 3986 has them in a host only.
func escape(s string) string {
	if !strings.ContainsFunc(s, mustEscape) {
		return s
	}

	var b strings.Builder
	for _, c := range []byte(s) {
		if mustEscape(rune(c)) {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func mustEscape(r rune) bool { return r >= utf8.RuneSelf || strings.ContainsRune("\"<>\\^`{|}", r) }

func checkText(raw string) error {
	switch {
	case len(raw) > maxURLBytes:
		return invalidURL("it must be at most 2048 bytes long")
	case !utf8.ValidString(raw):
		return invalidURL("it must be valid UTF-8")
	case strings.Contains(raw, "#"):
		return invalidURL("it must not have a fragment (#)")

	case strings.TrimFunc(raw, isBlank) != raw:
		return invalidURL("it starts or ends in a space, or in another character that can't be seen; remove it")
	case strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return invalidURL("it must not have spaces or control characters; encode them with %")
	case hasBrokenEscape(raw):
		return invalidURL("a % must be followed by two hexadecimal digits; write %25 for the character itself")
	}
	return nil
}

// isBlank tells whether a character leaves no ink. At the ends of a URL it was copied along from a page or a letter.
func isBlank(r rune) bool { return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) }

func hasBrokenEscape(s string) bool {
	for {
		_, behind, found := strings.Cut(s, "%")
		if !found {
			return false
		}
		if len(behind) < 2 || strings.Trim(behind[:2], "0123456789abcdefABCDEF") != "" {
			return true
		}
		s = behind[2:]
	}
}

func (g guard) host(u *url.URL) (string, error) {
	host, err := g.hostname(u)
	if err != nil {
		return "", err
	}
	port, err := g.port(u)
	if err != nil {
		return "", err
	}

	// A name is judged by the addresses that it has when it is connected to.
	if a, err := netip.ParseAddr(host); err == nil {
		switch target := netip.AddrPortFrom(a, port); {
		case g.own.listens(target):
			return "", fmt.Errorf("the host: %w", errOwn)
		case !g.allows(target):
			return "", fmt.Errorf("the host: %w", ErrBlocked)
		}
	}

	switch {
	case u.Port() != "":
		return net.JoinHostPort(host, u.Port()), nil
	case strings.Contains(host, ":"):
		return "[" + host + "]", nil
	}
	return host, nil
}

// port returns the port that a URL leads to.
func (g guard) port(u *url.URL) (uint16, error) {
	text := u.Port()
	if text == "" && !strings.HasSuffix(u.Host, ":") {
		text = "443"
		if u.Scheme == "http" {
			text = "80"
		}
	}

	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 || strconv.FormatUint(n, 10) != text {
		return 0, invalidURL("the port must be a number from 1 to 65535")
	}

	port := uint16(n)
	if !g.allowsPort(port) {
		list := strings.ReplaceAll(fmt.Sprint(g.ports), " ", ", ")
		return 0, invalidURL("the port must be one of " + strings.Trim(list, "[]"))
	}
	return port, nil
}

// hostname decides between the three kinds of host. IDNA maps look-alikes of digits and dots to ASCII, so it comes
// before the search for addresses.
func (g guard) hostname(u *url.URL) (string, error) {
	host := u.Hostname()
	if strings.HasPrefix(u.Host, "[") {
		return g.addr(host, netip.Addr.Is6)
	}

	if !isASCII(host) {
		var err error
		if host, err = idna.Lookup.ToASCII(host); err != nil {
			return "", invalidURL("the host is not a valid international domain name")
		}
	}

	if err := checkName(host); err != nil {
		return "", err
	}
	if endsInNumber(host) {
		return g.addr(host, netip.Addr.Is4)
	}

	// The public DNS has none. With a search domain behind it, such a name would be a stranger's.
	if len(g.allow) == 0 && !strings.Contains(host, ".") {
		const text = "the host must be a full name, with full stops; one of a single label needs OUTHOOK_EGRESS_ALLOW"
		return "", invalidURL(text)
	}
	return host, nil
}

// addr takes an address literal in one spelling only. Zones are ours, not a receiver's; an IPv4-mapped address can be
// written as IPv4.
func (g guard) addr(literal string, kind func(netip.Addr) bool) (string, error) {
	a, err := netip.ParseAddr(literal)
	if err != nil || !kind(a) || a.Zone() != "" {
		return "", invalidURL("an IP address must be four decimal numbers like 198.51.100.7, or IPv6 in brackets")
	}
	if a.Is4In6() {
		return "", fmt.Errorf("the host: %w", ErrBlocked)
	}
	return a.String(), nil
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}

func checkName(host string) error {
	if strings.HasSuffix(host, ".") {
		return invalidURL("the host must not end in a full stop")
	}
	if len(host) > maxHostBytes {
		return invalidURL("the host must be at most 253 bytes long")
	}

	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > maxLabelBytes || strings.Trim(label, labelBytes) != "" {
			return invalidURL("the host must be labels of 1 to 63 letters, digits, - or _, joined by full stops")
		}
	}
	return nil
}

// labelBytes has the underscore, which RFC 1123 does not allow but names in use have.
const labelBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

// endsInNumber is the rule by which browsers and C libraries take a host for an IPv4 address in any of its old
// spellings, like 0x7f.1 or 2130706433 (URL Standard, "ends in a number checker"). No top-level domain is a number.
func endsInNumber(host string) bool {
	last := strings.ToLower(host[strings.LastIndexByte(host, '.')+1:])
	if digits, hex := strings.CutPrefix(last, "0x"); hex {
		return strings.Trim(digits, "0123456789abcdef") == ""
	}
	return strings.Trim(last, "0123456789") == ""
}
