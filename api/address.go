package api

import (
	"net"
	"net/http"
	"net/netip"

	"github.com/labstack/echo/v4"
)

// clientAddress returns a function that tells a request's client: the connection's other end, or, if that is a trusted
// proxy, the last address in X-Forwarded-For that is none. A header that holds anything else than addresses is ignored.
func clientAddress(proxies []netip.Prefix) func(*http.Request) netip.Addr {
	extract := echo.ExtractIPDirect()
	if len(proxies) > 0 {
		options := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
		for _, p := range proxies {
			p = p.Masked()
			options = append(options, echo.TrustIPRange(&net.IPNet{
				IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen()),
			}))
		}
		extract = echo.ExtractIPFromXFFHeader(options...)
	}

	return func(r *http.Request) netip.Addr {
		addr, err := netip.ParseAddr(extract(r))
		if err != nil {
			return netip.Addr{} // of a connection without addresses
		}
		return addr.Unmap().WithZone("")
	}
}
