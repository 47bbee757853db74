package console

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/outhook/outhook/api/client"
)

const (
	// maxViewers bounds who watches a process's stream at a time, and maxViewersOfOne those of one session: a browser has
	// few connections to a host.
	maxViewers      = 200
	maxViewersOfOne = 4

	// followEach is how often the log is read while somebody watches, and followRows how much of it at a time.
	followEach = time.Second
	followRows = 500

	// followBack is what a viewer is shown at first, and followKept how many rows of it.
	followBack = 30 * time.Second
	followKept = 50

	// followSeen is for how long it is known that an attempt was shown. The API shows the last 10 s again and again.
	followSeen = time.Minute
)

// followers read the log for whoever watches it. There is one for each tenant whose people watch, and one for those
// who see all: what a viewer costs is the rendering.
type followers struct {
	client func(key string) (*client.Client, error)

	mu       sync.Mutex
	byTenant map[string]*follower
	sessions map[string]int // viewers of each
	viewers  int
	closed   bool
}

// follower reads the log with the key of one of its viewers, who all see the same.
type follower struct {
	viewers []*viewer
	recent  []client.FollowedAttempt // the newest, oldest first
	stop    context.CancelFunc
}

// viewer is somebody who watches.
type viewer struct {
	key, tenant string
	rows        chan []client.FollowedAttempt // those that have no room are left out
	ended       chan struct{}                 // closed once nothing comes any more
}

func newFollowers(c func(key string) (*client.Client, error)) *followers {
	return &followers{client: c, byTenant: map[string]*follower{}, sessions: map[string]int{}}
}

// join begins to watch, until leave. ctx is only where the follower's requests get their values from.
func (f *followers) join(ctx context.Context, key, tenant string) (*viewer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || f.viewers == maxViewers || f.sessions[key] == maxViewersOfOne {
		return nil, &client.Error{Problem: client.Problem{
			Status: http.StatusTooManyRequests, Detail: "too many pages watch at this moment: close one",
		}}
	}

	v := &viewer{key: key, tenant: tenant, rows: make(chan []client.FollowedAttempt, 4), ended: make(chan struct{})}
	one := f.byTenant[tenant]
	if one == nil {
		one = &follower{}
		f.byTenant[tenant] = one
		ctx, one.stop = context.WithCancel(context.WithoutCancel(ctx))
		go f.run(ctx, one)
	}
	if len(one.recent) > 0 {
		v.rows <- one.recent
	}
	one.viewers = append(one.viewers, v)
	f.viewers++
	f.sessions[key]++
	return v, nil
}

// leave ends watching. The last one of a tenant ends its follower.
func (f *followers) leave(v *viewer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	one := f.byTenant[v.tenant]
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
		delete(f.byTenant, v.tenant)
	}
}

// close ends all streams, and lets nobody begin one.
func (f *followers) close() {
	f.mu.Lock()
	f.closed = true
	var all []*viewer
	for _, one := range f.byTenant {
		all = append(all, one.viewers...)
	}
	f.mu.Unlock()

	for _, v := range all {
		f.leave(v)
	}
}

// run reads the log until nobody watches it.
func (f *followers) run(ctx context.Context, one *follower) {
	ticker := time.NewTicker(followEach)
	defer ticker.Stop()
	p := client.FollowAttemptsParams{Limit: followRows, Since: time.Now().Add(-followBack)}
	seen := map[string]time.Time{}

	for {
		if page, err := f.read(ctx, one, p); err == nil {
			f.tell(one, unseen(page.Items, seen, time.Now()))
			p = client.FollowAttemptsParams{Limit: followRows, Cursor: page.NextCursor}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// read reads what is next with the key of the first viewer. One whose session has ended is sent away.
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
	if refused, ok := asRefusal(err); ok && refused.Status == http.StatusUnauthorized {
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
func (f *followers) tell(one *follower, fresh []client.FollowedAttempt) {
	if len(fresh) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()

	one.recent = append(one.recent, fresh...)
	one.recent = append([]client.FollowedAttempt(nil), one.recent[max(len(one.recent)-followKept, 0):]...)
	for _, v := range one.viewers {
		select {
		case v.rows <- fresh:
		default:
		}
	}
}
