package egress

import (
	"bytes"
	"net"
	"sync/atomic"
)

// maxIdentityLine is more than a line of "Transfer-Encoding: identity" has; longer lines are not held back.
const maxIdentityLine = 64

// identityConn is an HTTP/1 connection on which no answer says Transfer-Encoding: identity, which RFC 2616, section
// 3.6, had for "not encoded", and old servers still send. net/http refuses such an answer, though it means the same as
// none does. The line is removed from the head of each answer; every other byte passes as it is.
//
// It is not for HTTP/2, and for TLS it belongs above the *tls.Conn.
type identityConn struct {
	net.Conn

	begun atomic.Bool // set by begin, taken by Read
	head  identityHead
	ready []byte // what had no place in the last Read's slice
	err   error  // that came with the last bytes of ready
}

func newIdentityConn(conn net.Conn) *identityConn { return &identityConn{Conn: conn} }

// begin says that a request is about to be written, so that what is read next is the head of its answer. It may run
// while a Read waits: net/http waits for the next answer on an idle connection already.
func (c *identityConn) begin() { c.begun.Store(true) }

// Read reads from the connection.
func (c *identityConn) Read(p []byte) (int, error) {
	for {
		if len(c.ready) > 0 || c.err != nil {
			n, err := copy(p, c.ready), error(nil)
			if c.ready = c.ready[n:]; len(c.ready) == 0 {
				c.ready, err, c.err = nil, c.err, nil
			}
			return n, err
		}

		n, err := c.Conn.Read(p)
		if n > 0 && c.begun.Swap(false) {
			c.head = identityHead{reading: true, first: true, held: c.head.held[:0]}
		}
		if !c.head.reading || n == 0 && len(c.head.held) == 0 {
			return n, err
		}

		// In place, unless what was held has to go before it, or nothing comes behind it.
		if len(c.head.held) > 0 || err != nil {
			c.ready, c.err = c.head.filter(nil, p[:n]), err
			if err != nil && !c.head.dropped {
				c.ready = append(c.ready, c.head.held...)
			}
			continue
		}
		if n = len(c.head.filter(p[:0], p[:n])); n > 0 {
			return n, nil
		}
	}
}

// identityHead reads the head of an answer line by line, as net/http does: a line ends in a line feed, and an empty one
// ends the head.
type identityHead struct {
	reading bool // false: what comes is a body
	first   bool // the line is the status line
	interim bool // the status was 1xx: another head follows
	long    bool // the line's beginning was too long to be held

	held    []byte // the line as far as it came
	dropped bool   // held is a whole line that goes, unless the next one belongs to it
}

// filter appends to out what passes of in. It is never more than what was held and in together, so out may be the
// beginning of in if nothing was held.
func (h *identityHead) filter(out, in []byte) []byte {
	for len(in) > 0 && h.reading {
		if h.dropped {
			if in[0] == ' ' || in[0] == '\t' {
				out = append(out, h.held...) // the value goes on: RFC 9112, section 5.2
			}
			h.held, h.dropped = h.held[:0], false
		}

		end := bytes.IndexByte(in, '\n') + 1
		ends := end > 0
		if !ends {
			end = len(in)
		}
		out = h.take(out, in[:end], ends)
		in = in[end:]
	}
	return append(out, in...)
}

// take appends to out what passes of a line's next part.
func (h *identityHead) take(out, part []byte, ends bool) []byte {
	if h.long {
		h.long = !ends
		return append(out, part...)
	}

	line := part
	if len(h.held) > 0 {
		h.held = append(h.held, part...)
		line = h.held
	}

	held := !ends && len(line) <= maxIdentityLine
	if !held {
		h.dropped = h.goes(line)
	}
	if held || h.dropped {
		if len(h.held) == 0 {
			h.held = append(h.held, line...)
		}
		return out
	}

	h.held, h.long = h.held[:0], !ends
	return append(out, line...)
}

// goes looks at a line, or at the beginning of a long one, and tells whether it is to be removed.
func (h *identityHead) goes(line []byte) bool {
	switch {
	case h.first:
		h.first, h.interim = false, isInterim(line)
		return false
	case string(line) == "\n", string(line) == "\r\n":
		h.reading, h.first = h.interim, h.interim
		return false
	}

	name, value, _ := bytes.Cut(line, []byte(":"))
	return bytes.EqualFold(name, []byte("transfer-encoding")) && bytes.HasSuffix(value, []byte("\n")) &&
		bytes.EqualFold(bytes.Trim(value, " \t\r\n"), []byte("identity"))
}

// isInterim tells whether a status line begins like that of an answer before the answer. Of any other spelling that
// net/http may take for one, the head that follows passes as it is.
func isInterim(line []byte) bool {
	const form = "HTTP/1.1 1xx"
	return len(line) > len(form) && bytes.HasPrefix(line, []byte("HTTP/1.")) && string(line[8:10]) == " 1" &&
		string(line[10:12]) != "01" && bytes.IndexByte([]byte(" \r\n"), line[12]) >= 0
}
