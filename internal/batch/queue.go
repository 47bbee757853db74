package batch

// call is one Do. Its links belong to the queue that holds it, its answer to
// the caller once done has a value.
type call[In, Out any] struct {
	in         In
	size       int
	out        Out
	err        error
	done       chan struct{} // of capacity 1: answering never blocks
	waiting    bool          // in Group.waiting; under Group.mu
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
