package wire

import (
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

var (
	// ErrStray is the error of a connection on which bytes came that no request had asked for.
	ErrStray = errors.New("bytes came that no request had asked for")

	// ErrEnded is the error of a connection that the receiver ended before a request was written.
	ErrEnded = errors.New("the connection ended before anything was asked")
)

// state is what a connection is used for.
type state int

const (
	stateOpening state = iota // until the first request: bytes are TLS's own
	stateUsed                 // by a request
	stateEnding               // the answer has been read, net/http may hold bytes behind it
	stateIdle                 // nothing is expected, nothing has come
	stateShared               // by HTTP/2, which knows what belongs to what
	stateStray                // never again
)

// Conn is a TCP connection, below TLS. What is readable on it before a request is written is no answer to it: such a
// connection fails with nothing written.
//
// net/http puts a connection back before it looks whether more has come. So it counts as idle only when net/http, which
// reads all the time, has nothing left in its own buffer and waits for the socket again.
type Conn struct {
	net.Conn

	opened time.Time
	socket socket

	mu      sync.Mutex
	state   state
	reading bool // somebody waits for the socket
	looked  bool // nothing was readable before the request's first byte was written
	wrote   bool // a byte of the request was written, or may have been
	failed  bool // a write has failed
	closed  bool
	seen    time.Time // when the last bytes came
	idle    func()    // what to do when the connection is idle
	settled chan struct{}
}

// NewConn returns a connection that was just made. tls: TLS will be spoken on it.
func NewConn(c net.Conn, tls bool) *Conn {
	now := time.Now()
	conn := &Conn{Conn: c, opened: now, seen: now}
	if !tls {
		conn.state = stateIdle
	}
	conn.socket.open(conn)
	return conn
}

// share is called when HTTP/2 takes the connection.
func (c *Conn) share() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = stateShared
}

// begin takes the connection for a request. It returns false if it is of no use any more.
func (c *Conn) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()

	if c.closed || c.state != stateOpening && c.state != stateIdle {
		return false
	}
	c.looked = c.state == stateOpening // bytes behind a handshake may be session tickets
	c.state, c.wrote = stateUsed, false
	return true
}

// end is called when the answer has been read. As soon as it is certain that nothing came behind it, idle is called;
// if something did, never. What end returns is closed in either case; it is nil if there is nothing to wait for. ok
// is false if the connection is of no use any more.
func (c *Conn) end(idle func()) (settled <-chan struct{}, ok bool) {
	c.mu.Lock()
	if c.closed || c.failed || c.state != stateUsed {
		c.mu.Unlock()
		return nil, false
	}

	if !c.reading {
		defer c.mu.Unlock()
		c.state, c.idle, c.settled = stateEnding, idle, make(chan struct{})
		return c.settled, true
	}
	c.state = stateIdle
	c.mu.Unlock()
	idle()
	return nil, true
}

// untouched tells whether no byte of the present request was written.
func (c *Conn) untouched() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.wrote
}

// lastSeen returns when the last bytes came, and whether the connection is closed.
func (c *Conn) lastSeen() (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen, c.closed
}

// Read reads what has come, unless it is nobody's.
func (c *Conn) Read(p []byte) (int, error) {
	c.mu.Lock()
	c.reading = true
	settled := c.state == stateEnding
	idle, wait := c.idle, c.settled
	if settled {
		c.state, c.idle, c.settled = stateIdle, nil, nil
	}
	c.mu.Unlock()

	if settled {
		idle()
		close(wait)
	}
	n, err := c.socket.read(p)

	c.mu.Lock()
	c.reading = false
	c.mu.Unlock()
	return n, err
}

// take decides whose the bytes are that are taken from the socket at this moment. It is called with mu held.
func (c *Conn) take() error {
	c.seen = time.Now()
	if c.state == stateIdle || c.state == stateUsed && !c.looked {
		c.state = stateStray
	}
	if c.state == stateStray {
		return ErrStray
	}
	return nil
}

// Write writes a request. An answer may have come before it fails, and be read yet: so the request's writer is not
// told, and the reader finds either the answer or the error.
func (c *Conn) Write(p []byte) (int, error) {
	pretend, err := c.beforeWrite()
	switch {
	case err != nil:
		return 0, err
	case pretend:
		return len(p), nil
	}

	n, err := c.Conn.Write(p)
	if err == nil || errors.Is(err, net.ErrClosed) {
		return n, err
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != stateUsed {
		return n, err
	}
	c.failed = true
	return len(p), nil
}

func (c *Conn) beforeWrite() (pretend bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()

	if c.state == stateUsed && !c.looked {
		if err := c.socket.look(); err != nil {
			c.state = stateStray
			return false, err
		}
		c.looked = true
	}
	if c.state == stateStray {
		return false, ErrStray
	}
	c.wrote = true
	return c.failed, nil
}

// Close closes the connection.
func (c *Conn) Close() error {
	c.mu.Lock()
	if c.settled != nil {
		close(c.settled)
	}
	c.closed, c.idle, c.settled = true, nil, nil
	if c.state == stateEnding {
		c.state = stateStray
	}
	c.mu.Unlock()
	return c.Conn.Close() //nolint:wrapcheck // it is a connection's own
}

// opError is the error of a system call, as package net has it.
func (c *Conn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

// rawConn returns what gives access to a connection's socket, nil if it has none.
func rawConn(c net.Conn) syscall.RawConn {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}
