package batch

// call is one Do. Its links belong to the queue that holds it, its answer to
// the caller once done has a value.
type call[In, Out any] struct {
	in         In
	size       int
	turn       string
	out        Out
	err        error
	done       chan struct{}  // of capacity 1: answering never blocks
	waiting    bool           // in Group.waiting; under Group.mu
	line       *line[In, Out] // in which it waits
	prev, next *call[In, Out]
}

func (c *call[In, Out]) answer(out Out, err error) {
	c.out, c.err = out, err
	c.done <- struct{}{} // from here on c may be another caller's
}

// queue is a list of calls in the order of their arrival, linked through the
// calls so that one that is withdrawn leaves at once, from anywhere.
type queue[In, Out any] struct {
	head, tail *call[In, Out]
	n          int
}

func (q *queue[In, Out]) push(c *call[In, Out]) {
	if q.tail == nil {
		q.head = c
	} else {
		q.tail.next = c
	}
	c.prev, q.tail = q.tail, c
	q.n++
}

// pop removes and returns the first call, or returns nil.
func (q *queue[In, Out]) pop() *call[In, Out] {
	c := q.head
	if c != nil {
		q.remove(c)
	}
	return c
}

func (q *queue[In, Out]) remove(c *call[In, Out]) {
	if c.prev == nil {
		q.head = c.next
	} else {
		c.prev.next = c.next
	}

	if c.next == nil {
		q.tail = c.prev
	} else {
		c.next.prev = c.prev
	}

	c.prev, c.next = nil, nil
	q.n--
}

// answer removes the first n calls and answers them: with err if there is one,
// else with out.
func (q *queue[In, Out]) answer(n int, out []Out, err error) {
	for i := range n {
		if err != nil {
			q.pop().answer(*new(Out), err)
		} else {
			q.pop().answer(out[i], nil)
		}
	}
}

// turns is the calls that wait, in a line for each turn. The lines that are not empty stand in a ring: the first call
// of its first line is the next, and then that line is the last.
type turns[In, Out any] struct {
	lines map[string]*line[In, Out]
	head  *line[In, Out]
	spare *line[In, Out] // of the turn that ended last, so that calls that never wait for long allocate nothing
	n     int
}

// line is the calls of one turn.
type line[In, Out any] struct {
	queue[In, Out]

	turn       string
	prev, next *line[In, Out]
}

func (t *turns[In, Out]) push(c *call[In, Out]) {
	l := t.lines[c.turn]
	if l == nil {
		l = t.begin(c.turn)
	}
	c.line = l
	l.push(c)
	t.n++
}

// of returns how many calls of a turn wait.
func (t *turns[In, Out]) of(turn string) int {
	if l := t.lines[turn]; l != nil {
		return l.n
	}
	return 0
}

// begin puts a new line at the end of the ring.
func (t *turns[In, Out]) begin(turn string) *line[In, Out] {
	l := t.spare
	if t.spare = nil; l == nil {
		l = &line[In, Out]{}
	}
	if t.lines == nil {
		t.lines = make(map[string]*line[In, Out])
	}
	l.turn, t.lines[turn] = turn, l

	if t.head == nil {
		t.head, l.prev, l.next = l, l, l
		return l
	}
	l.prev, l.next = t.head.prev, t.head
	l.prev.next, l.next.prev = l, l
	return l
}

// first returns the call whose turn it is, nil if there is none.
func (t *turns[In, Out]) first() *call[In, Out] {
	if t.head == nil {
		return nil
	}
	return t.head.head
}

// pop removes and returns it, or returns nil.
func (t *turns[In, Out]) pop() *call[In, Out] {
	c := t.first()
	if c != nil {
		t.head = t.head.next
		t.remove(c)
	}
	return c
}

// remove takes a call out of its line, and a line that is empty out of the ring.
func (t *turns[In, Out]) remove(c *call[In, Out]) {
	l := c.line
	l.remove(c)
	c.line = nil
	t.n--
	if l.n > 0 {
		return
	}

	delete(t.lines, l.turn)
	l.prev.next, l.next.prev = l.next, l.prev
	switch {
	case l.next == l:
		t.head = nil
	case t.head == l:
		t.head = l.next
	}
	*l = line[In, Out]{}
	t.spare = l
}
