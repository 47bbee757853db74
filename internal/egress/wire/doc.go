// Package wire holds the connections to receivers: conn.go is a connection that knows which bytes belong to no
// request, socket_unix.go how it takes them, dialing.go one that is being made, link.go one that takes requests,
// pool.go all of them, host.go those to one host and port.
//
// A connection that speaks HTTP/1.1 is used by one tenant only: an answer too many that arrives after the next request
// has left can't be told from that one's own. HTTP/2 names the request that each answer belongs to, so its connections
// are shared. The protocols are net/http's; this package decides what they are given.
package wire
