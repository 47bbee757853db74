package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/riverqueue/river/riverdriver"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/jobs/ledger"
)

// River's topics.
const (
	topicInsert  = "river_insert"
	topicControl = "river_control"
)

const (
	// lookEvery is how often the queues' rows are looked at, however many messages come.
	lookEvery = time.Second

	// hintBytes is how long a message about new jobs may be: it names a queue.
	hintBytes = 256
)

// listener is River's, which believes nobody: each login of the database may notify, whatever its rights. That there
// are jobs is a hint to look for them. That a queue is paused or works again is a hint to look at the queues' rows,
// and what those say is passed on. No message ends a run or asks a leader to resign.
//
// However many come, a hint of each kind is passed on once in a while, and the last one is not lost.
type listener struct {
	riverdriver.Listener

	rows db.DBTX
	own  *ownHints

	insert  map[string]*hint // by queue: that it has new jobs
	control *hint            // that a queue was paused or works again
	told    []*riverdriver.Notification
}

// ownHints are what a process tells itself, without the database: that queues have new jobs.
type ownHints struct {
	mu     sync.Mutex
	queues map[string]bool
	wake   func() // ends a wait; nil: nobody waits
}

func (o *ownHints) add(queues []string) {
	if len(queues) == 0 {
		return
	}

	o.mu.Lock()
	defer o.mu.Unlock()
	if o.queues == nil {
		o.queues = map[string]bool{}
	}
	for _, queue := range queues {
		o.queues[queue] = true
	}
	if o.wake != nil {
		o.wake()
	}
}

func (o *ownHints) any() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.queues) > 0
}

// take returns what was added since.
func (o *ownHints) take() map[string]bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	queues := o.queues
	o.queues = nil
	return queues
}

// await has wake called as soon as there is something to take, until the function that it returns is called.
func (o *ownHints) await(wake func()) (end func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.queues) > 0 {
		wake()
	}
	o.wake = wake
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.wake = nil
	}
}

// hint is what messages of one kind hint at.
type hint struct {
	every time.Duration // how often it is passed on at most

	heard bool      // since it was passed on
	next  time.Time // when it may be at the earliest
}

// GetListener returns what River's client hears with.
func (d *driver) GetListener(params *riverdriver.GetListenenerParams) riverdriver.Listener {
	return newListener(d.Driver.GetListener(params), d.pool, d.own, d.cooldown)
}

// newListener returns a listener that tells of a queue's new jobs every so often at most: to tell of them more often
// than River fetches leads to nothing.
func newListener(l riverdriver.Listener, rows db.DBTX, own *ownHints, every time.Duration) *listener {
	insert := map[string]*hint{}
	for _, queue := range append(ledger.WorkedQueues(), ledger.QueueOperations, ledger.QueueMaintenance) {
		insert[queue] = &hint{every: every}
	}
	return &listener{Listener: l, rows: rows, own: own, insert: insert, control: &hint{every: lookEvery}}
}

// Listen listens to what is passed on.
func (l *listener) Listen(ctx context.Context, topic string) error {
	if topic != topicInsert && topic != topicControl {
		return nil
	}
	return l.Listener.Listen(ctx, topic)
}

// Unlisten ends that.
func (l *listener) Unlisten(ctx context.Context, topic string) error {
	if topic != topicInsert && topic != topicControl {
		return nil
	}
	return l.Listener.Unlisten(ctx, topic)
}

// WaitForNotification returns the next message that is to be passed on.
func (l *listener) WaitForNotification(ctx context.Context) (*riverdriver.Notification, error) {
	for {
		for queue := range l.own.take() {
			if h := l.insert[queue]; h != nil {
				h.heard = true
			}
		}

		next, err := l.tell(ctx, time.Now())
		if err != nil {
			return nil, err
		}
		if len(l.told) > 0 {
			n := l.told[0]
			l.told = l.told[1:]
			return n, nil
		}

		n, err := l.wait(ctx, next)
		switch {
		case err == nil:
			l.hear(n)
		case l.own.any():
		case ctx.Err() != nil || next.IsZero() || time.Now().Before(next):
			return nil, err
		}
	}
}

// wait waits for a message or a hint of this process's own, or until a time unless that is zero.
func (l *listener) wait(ctx context.Context, until time.Time) (*riverdriver.Notification, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer l.own.await(cancel)()

	if !until.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, until)
		defer cancel()
	}
	return l.Listener.WaitForNotification(ctx)
}

// hear takes a message in. One of which nothing follows is dropped without a word: anybody can send it.
func (l *listener) hear(n *riverdriver.Notification) {
	switch {
	case n.Topic == topicControl:
		l.control.heard = true
	case n.Topic == topicInsert && len(n.Payload) <= hintBytes:
		var message struct{ Queue string }
		if json.Unmarshal([]byte(n.Payload), &message) != nil {
			return
		}
		if h := l.insert[message.Queue]; h != nil {
			h.heard = true
		}
	}
}

// tell puts what was heard of and may be passed on into told. It returns when the next of the rest may be; zero: there
// is none.
func (l *listener) tell(ctx context.Context, now time.Time) (next time.Time, err error) {
	for queue, h := range l.insert {
		if h.due(now, &next) {
			if err := l.add(topicInsert, map[string]string{"queue": queue}); err != nil {
				return next, err
			}
		}
	}

	if !l.control.due(now, &next) {
		return next, nil
	}
	if err := l.look(ctx); err != nil {
		l.control.heard = true
		return next, err
	}
	return next, nil
}

// due tells whether the hint is to be passed on now, and takes it for passed on then. If only later, next is no later
// than that.
func (h *hint) due(now time.Time, next *time.Time) bool {
	if !h.heard {
		return false
	}
	if now.Before(h.next) {
		if next.IsZero() || h.next.Before(*next) {
			*next = h.next
		}
		return false
	}
	h.heard, h.next = false, now.Add(h.every)
	return true
}

// look tells of each queue whether it is paused. To say it again changes nothing.
func (l *listener) look(ctx context.Context) error {
	queues, err := db.New().ListQueues(ctx, l.rows)
	if err != nil {
		return fmt.Errorf("reading which queues are paused: %w", err)
	}

	for _, q := range queues {
		action := "resume"
		if q.Paused {
			action = "pause"
		}
		if err := l.add(topicControl, map[string]string{"action": action, "queue": q.Name}); err != nil {
			return err
		}
	}
	return nil
}

func (l *listener) add(topic string, message map[string]string) error {
	payload, err := json.Marshal(message)
	if err != nil {
		return err
	}
	l.told = append(l.told, &riverdriver.Notification{Topic: topic, Payload: string(payload)})
	return nil
}
