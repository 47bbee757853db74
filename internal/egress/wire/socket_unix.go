//go:build unix

package wire

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// socket reads a connection's socket. Taking bytes from it and deciding whose they are is one step, which a request
// that begins meanwhile can't split.
type socket struct {
	conn *Conn
	raw  syscall.RawConn
	step func(fd uintptr) bool

	// One read at a time.
	buf []byte
	n   int
	err error
}

func (s *socket) open(c *Conn) {
	s.conn, s.raw = c, rawConn(c.Conn)
	s.step = s.receive
}

func (s *socket) read(p []byte) (int, error) {
	if s.raw == nil || len(p) == 0 {
		return s.conn.Conn.Read(p)
	}

	s.buf, s.n, s.err = p, 0, nil
	err := s.raw.Read(s.step)
	s.buf = nil
	if err != nil {
		return 0, err
	}
	return s.n, s.err
}

// receive takes what is there. It returns false if there is nothing yet.
func (s *socket) receive(fd uintptr) bool {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()

	n, err := ignoringEINTR(func() (int, error) { return syscall.Read(int(fd), s.buf) })
	switch {
	case errors.Is(err, syscall.EAGAIN):
		return false
	case err != nil:
		s.err = s.conn.opError("read", os.NewSyscallError("read", err))
	case n == 0:
		s.err = io.EOF
	default:
		if s.err = s.conn.take(); s.err == nil {
			s.n = n
		}
	}
	return true
}

// look returns ErrStray if there are bytes to be read, and ErrEnded if the connection has ended.
func (s *socket) look() error {
	if s.raw == nil {
		return nil
	}

	var found error
	err := s.raw.Control(func(fd uintptr) {
		var b [1]byte
		n, err := ignoringEINTR(func() (int, error) {
			n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
			return n, err
		})
		switch {
		case errors.Is(err, syscall.EAGAIN):
		case err != nil || n == 0:
			found = ErrEnded
		default:
			found = ErrStray
		}
	})
	if err != nil {
		return ErrEnded
	}
	return found
}

func ignoringEINTR(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, syscall.EINTR) {
			return n, err
		}
	}
}
