//go:build !unix

package wire

// socket reads a connection's socket. Here nobody can look at it without reading, so bytes that come in the very moment
// in which a request begins are taken for its answer.
type socket struct{ conn *Conn }

func (s *socket) open(c *Conn) { s.conn = c }

func (s *socket) read(p []byte) (int, error) {
	n, err := s.conn.Conn.Read(p)
	if n == 0 {
		return n, err
	}

	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	if stray := s.conn.take(); stray != nil {
		return 0, stray
	}
	return n, err
}

func (s *socket) look() error { return nil }
