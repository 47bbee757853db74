package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/riverqueue/river/riverdriver"

	"github.com/outhook/outhook/db"
)

// River's topics.
const (
	topicInsert  = "river_insert"
	topicControl = "river_control"
)

// lookEvery is how often the rows are looked at, however many messages come.
const lookEvery = time.Second

// listener is River's, which believes nobody: each login of the database may notify, whatever its rights. That there
// are jobs is a hint to look for them. That a queue is paused or works again is a hint to look at the queues' rows,
// and what those say is passed on. No message ends a run or asks a leader to resign.
type listener struct {
	riverdriver.Listener

	rows db.DBTX

	hinted bool      // a message of control has come since the last look
	next   time.Time // when to look at the earliest
	told   []*riverdriver.Notification
}

// GetListener returns what River's client hears with.
func (d *driver) GetListener(params *riverdriver.GetListenenerParams) riverdriver.Listener {
	return &listener{Listener: d.Driver.GetListener(params), rows: d.pool}
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

// WaitForNotification returns the next message that the rows bear out.
func (l *listener) WaitForNotification(ctx context.Context) (*riverdriver.Notification, error) {
	for {
		if len(l.told) > 0 {
			n := l.told[0]
			l.told = l.told[1:]
			return n, nil
		}

		n, err := l.wait(ctx)
		switch {
		case err != nil && (ctx.Err() != nil || !l.hinted || time.Now().Before(l.next)):
			return nil, err
		case err != nil:
			if err := l.look(ctx); err != nil {
				return nil, err
			}
		case n.Topic == topicInsert:
			return n, nil
		case n.Topic == topicControl:
			l.hinted = true
		}
	}
}

// wait waits for a message, or until it is time to look at the rows.
func (l *listener) wait(ctx context.Context) (*riverdriver.Notification, error) {
	if l.hinted {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, l.next)
		defer cancel()
	}
	return l.Listener.WaitForNotification(ctx)
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
		payload, err := json.Marshal(map[string]string{"action": action, "queue": q.Name})
		if err != nil {
			return err
		}
		l.told = append(l.told, &riverdriver.Notification{Topic: topicControl, Payload: string(payload)})
	}
	l.hinted, l.next = false, time.Now().Add(lookEvery)
	return nil
}
