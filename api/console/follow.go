package console

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/api/pages"
)

const (
	// maxViewers bounds who watches a process's stream at a time, and maxViewersOfOne those of one session: a browser has
	// few connections to a host.
	maxViewers      = 200
	maxViewersOfOne = 4

	// followEach is how often the log is read while somebody watches, and followRows how much of it at a time: more than
	// is shown of a second.
	followEach = time.Second
	followRows = 200

	// followBack is what a viewer is shown at first, and followKept how many rows of it.
	followBack = 30 * time.Second
	followKept = 50

	// followSeen is for how long it is known that an attempt was shown. The API shows the last 10 s again and again.
	followSeen = time.Minute
)

// followers read the log for whoever watches it, and render it, one for all who watch the same: what a viewer costs is
// the sending.
type followers struct {
	client func(key string) (*client.Client, error)

	mu       sync.Mutex
	byView   map[view]*follower
	sessions map[string]int // viewers of each
	viewers  int
	closed   bool
}

// view is what of the log somebody watches. Who belongs to a tenant watches no other's.
type view struct {
	tenant  string // "": of all
	outcome string // succeeded, failed: not succeeded; "": any
	typ     string // as GET /api/attempts takes it; "": any
}

// params asks for what ended at a time or later.
func (w view) params(since time.Time) client.FollowAttemptsParams {
	p := client.FollowAttemptsParams{Limit: followRows, Since: since, TenantID: w.tenant, Type: w.typ}
	switch w.outcome {
	case "succeeded":
		p.Outcome = []string{"succeeded"}
	case "failed":
		p.Outcome = []string{"rejected", "timed_out", "unreachable", "blocked", "unknown"}
	}
	return p
}

// follower reads the log with the key of one of its viewers, who all see the same.
type follower struct {
	view    view
	viewers []*viewer
	recent  []client.FollowedAttempt // the newest, oldest first
	stop    context.CancelFunc
}

// viewer is somebody who watches.
type viewer struct {
	key   string
	view  view
	rows  chan string   // events of the stream; those that have no room are left out
	ended chan struct{} // closed once nothing comes any more
}

func newFollowers(c func(key string) (*client.Client, error)) *followers {
	return &followers{client: c, byView: map[view]*follower{}, sessions: map[string]int{}}
}

// join begins to watch, until leave. ctx is only where the follower's requests get their values from.
func (f *followers) join(ctx context.Context, key string, what view) (*viewer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || f.viewers == maxViewers || f.sessions[key] == maxViewersOfOne {
		return nil, &client.Error{Problem: client.Problem{
			Status: http.StatusTooManyRequests, Detail: "too many pages watch at this moment: close one",
		}}
	}

	v := &viewer{key: key, view: what, rows: make(chan string, 4), ended: make(chan struct{})}
	one := f.byView[what]
	if one == nil {
		one = &follower{view: what}
		f.byView[what] = one
		ctx, one.stop = context.WithCancel(context.WithoutCancel(ctx))
		go f.run(ctx, one)
	}
	if len(one.recent) > 0 {
		v.rows <- rowsEvent(ctx, one.recent)
	}
	one.viewers = append(one.viewers, v)
	f.viewers++
	f.sessions[key]++
	return v, nil
}

// leave ends watching. The last one of a view ends its follower.
func (f *followers) leave(v *viewer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	one := f.byView[v.view]
	if one == nil {
		return
	}

	for i, other := range one.viewers {
		if other == v {
			one.viewers = append(one.viewers[:i], one.viewers[i+1:]...)
			close(v.ended)
			f.viewers--
			if f.sessions[v.key]--; f.sessions[v.key] == 0 {
				delete(f.sessions, v.key)
			}
			break
		}
	}
	if len(one.viewers) == 0 {
		one.stop()
		delete(f.byView, v.view)
	}
}

// close ends all streams, and lets nobody begin one.
func (f *followers) close() {
	f.mu.Lock()
	f.closed = true
	var all []*viewer
	for _, one := range f.byView {
		all = append(all, one.viewers...)
	}
	f.mu.Unlock()

	for _, v := range all {
		f.leave(v)
	}
}

// run reads the log until nobody watches it. What it can't keep up with is passed over: who watches wants to see now.
func (f *followers) run(ctx context.Context, one *follower) {
	ticker := time.NewTicker(followEach)
	defer ticker.Stop()
	p := one.view.params(time.Now().Add(-followBack))
	seen := map[string]time.Time{}

	for {
		began := time.Now()
		if page, err := f.read(ctx, one, p); err == nil {
			f.tell(ctx, one, unseen(page.Items, seen, began))
			if p = one.view.params(began); !page.More {
				p.Since, p.Cursor = time.Time{}, page.NextCursor
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// read reads what is next with the key of the first viewer. One who may not see it, or not any more, is sent away.
func (f *followers) read(ctx context.Context, one *follower, p client.FollowAttemptsParams,
) (*client.FollowedPage, error) {
	f.mu.Lock()
	if len(one.viewers) == 0 {
		f.mu.Unlock()
		return nil, context.Canceled
	}
	first := one.viewers[0]
	f.mu.Unlock()

	api, err := f.client(first.key)
	if err != nil {
		return nil, err
	}
	page, err := api.FollowAttempts(ctx, p)
	if _, ok := pages.AsRefusal(err); ok && passing(err) == "" {
		f.leave(first)
	}
	return page, err
}

// unseen returns those that were not there before, and forgets what can't come again.
func unseen(items []client.FollowedAttempt, seen map[string]time.Time, now time.Time) (fresh []client.FollowedAttempt) {
	for _, a := range items {
		key := liveRow(a).Key() + a.Outcome
		if _, known := seen[key]; !known {
			fresh = append(fresh, a)
		}
		seen[key] = now
	}

	for key, at := range seen {
		if now.Sub(at) > followSeen {
			delete(seen, key)
		}
	}
	return fresh
}

// tell gives rows to all viewers. Nobody is waited for.
func (f *followers) tell(ctx context.Context, one *follower, fresh []client.FollowedAttempt) {
	if len(fresh) == 0 {
		return
	}
	text := rowsEvent(ctx, fresh)
	f.mu.Lock()
	defer f.mu.Unlock()

	one.recent = append(one.recent, fresh...)
	one.recent = append([]client.FollowedAttempt(nil), one.recent[max(len(one.recent)-followKept, 0):]...)
	for _, v := range one.viewers {
		select {
		case v.rows <- text:
		default:
		}
	}
}
