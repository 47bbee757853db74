package svix

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/outhook/outhook/internal/problem"
)

const (
	// audienceLife is how long it is remembered that an application is there, to publish to it: a message would take two
	// requests to the API otherwise, and two connections. One that another process deletes takes messages for so long.
	audienceLife = 10 * time.Second

	// maxAudience bounds how many applications are remembered: about 150 bytes each.
	maxAudience = 10_000
)

// audience remembers which tenant an API key has been told that an application is.
type audience struct {
	mu    sync.Mutex
	found map[[sha256.Size]byte]addressee
}

type addressee struct {
	tenant string
	until  time.Time
}

func newAudience() *audience { return &audience{found: map[[sha256.Size]byte]addressee{}} }

func (a *audience) find(who [sha256.Size]byte, now time.Time) (string, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	found, ok := a.found[who]
	return found.tenant, ok && now.Before(found.until)
}

func (a *audience) add(who [sha256.Size]byte, tenant string, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.found) >= maxAudience {
		clear(a.found)
	}
	a.found[who] = addressee{tenant, now.Add(audienceLife)}
}

// forget forgets all, since an application was deleted.
func (a *audience) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.found)
}

// addressee returns the tenant that a message is for, and makes its application if the message brings it along. A key
// that may only publish can't look applications up: to it, the uid of one is the tenant, as in the API.
func (v *visit) addressee(in *applicationIn) (string, error) {
	name := v.PathValue("app")
	who := sha256.Sum256([]byte(v.Header.Get("Authorization") + "\n" + name))
	if tenant, ok := v.api.known.find(who, time.Now()); ok {
		return tenant, nil
	}

	found, err := v.tenant(name)
	refused, ok := refusal(err)
	_, isID := decodeID(applicationPrefix, name, idSize)
	switch {
	case ok && refused.Code == problem.ScopeInsufficient && !isID:
		return name, nil
	case isNotFound(err) && in != nil:
		found, err = v.makeAlong(in, name)
	}
	if err != nil {
		return "", err
	}
	v.api.known.add(who, found.TenantID, time.Now())
	return found.TenantID, nil
}
