package bench

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/outhook/outhook/internal/base62"
)

// eventType is that of the events that are measured.
const eventType = "bench.sent"

// answerTimeout bounds one request of the load and its answer.
const answerTimeout = time.Minute

// api is the API as a load tool calls it: HTTP/1.1 over kept connections, one request at a time on each, without the
// two goroutines a connection and the bookkeeping of http.Transport. On a machine that is shared with what is measured
// these took as much of the processor as the API's own handling of a request.
type api struct {
	url  *url.URL
	head string // of a request, after its path
	idle chan *apiConn
}

// apiConn is one connection.
type apiConn struct {
	net.Conn

	in   *bufio.Reader
	out  []byte
	stop func() bool
}

func newAPI(base, key string, conns int) (*api, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, errors.New("the API's URL must be like http://127.0.0.1:8080")
	}

	return &api{
		url:  u,
		idle: make(chan *apiConn, max(conns, 1)),
		head: " HTTP/1.1\r\nHost: " + u.Host + "\r\nAuthorization: Bearer " + key +
			"\r\nContent-Type: application/json\r\nContent-Length: ",
	}, nil
}

// post sends JSON and returns the answer of at most 4 MiB. Any status but 2xx is an error.
func (a *api) post(ctx context.Context, path string, body []byte) ([]byte, error) {
	return a.call(ctx, http.MethodPost, path, body)
}

// call is post with another method.
func (a *api) call(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	return a.callOnce(ctx, method, path, "", body)
}

// callOnce is call with an idempotency key, "" for none.
func (a *api) callOnce(ctx context.Context, method, path, key string, body []byte) ([]byte, error) {
	head := a.head
	if key != "" {
		head = " HTTP/1.1\r\nIdempotency-Key: " + key + strings.TrimPrefix(head, " HTTP/1.1")
	}
	c, err := a.conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("connecting to the API: %w", err)
	}

	status, answer, last, err := c.exchange(method+" "+a.url.Path+path, head, body)
	if err != nil || last {
		c.stop()
		_ = c.Close()
	} else {
		a.idle <- c
	}
	if err != nil {
		return nil, fmt.Errorf("asking the API: %w", err)
	}

	if status/100 != 2 {
		return nil, errors.New("the API answered " + strconv.Itoa(status) + ": " + string(answer))
	}
	return answer, nil
}

// conn returns an idle connection or a new one, which ends with ctx.
func (a *api) conn(ctx context.Context) (*apiConn, error) {
	select {
	case c := <-a.idle:
		return c, nil
	default:
	}

	host, port := a.url.Hostname(), a.url.Port()
	if port == "" {
		port = a.url.Scheme
	}

	dialCtx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()

	var c net.Conn
	var err error
	if a.url.Scheme == "https" {
		c, err = (&tls.Dialer{}).DialContext(dialCtx, "tcp", net.JoinHostPort(host, port))
	} else {
		c, err = (&net.Dialer{}).DialContext(dialCtx, "tcp", net.JoinHostPort(host, port))
	}
	if err != nil {
		return nil, err
	}
	return &apiConn{Conn: c, in: bufio.NewReader(c), stop: context.AfterFunc(ctx, func() { _ = c.Close() })}, nil
}

// exchange sends a request in one write and reads its answer. line is its method and path, head what follows them.
// last: the server closes the connection after it.
func (c *apiConn) exchange(line, head string, body []byte) (status int, answer []byte, last bool, err error) {
	if err := c.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return 0, nil, true, err
	}

	c.out = append(append(c.out[:0], line...), head...)
	c.out = append(strconv.AppendInt(c.out, int64(len(body)), 10), "\r\n\r\n"...)
	c.out = append(c.out, body...)
	if _, err := c.Write(c.out); err != nil {
		return 0, nil, true, err
	}

	res, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return 0, nil, true, err
	}
	defer res.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(res.Body, 4<<20))
	return res.StatusCode, answer, res.Close, err
}

// addEndpoints makes each tenant's endpoints.
func (a *api) addEndpoints(ctx context.Context, cfg Config, receiver string) error {
	for tenant := range max(cfg.Tenants, 1) {
		for i := range cfg.Endpoints {
			body := fmt.Sprintf(`{"tenant_id": %q, "url": "%s/%d"}`, cfg.tenant(int64(tenant)), receiver, i)
			if _, err := a.post(ctx, "/api/endpoints", []byte(body)); err != nil {
				return fmt.Errorf("creating an endpoint: %w", err)
			}
		}
	}
	return nil
}

// newKey draws an idempotency key as Svix's SDKs do.
func newKey() string { return "auto_" + uuid.NewString() }

// addApplications makes each tenant one of Svix's applications, whose uid is its name.
func (a *api) addApplications(ctx context.Context, cfg Config) error {
	for tenant := range max(cfg.Tenants, 1) {
		body := []byte(`{"name": "bench"}`)
		if _, err := a.call(ctx, http.MethodPut, "/api/tenants/"+cfg.tenant(int64(tenant)), body); err != nil {
			return fmt.Errorf("making an application: %w", err)
		}
	}
	return nil
}

// message sends a message of an application, and returns its event's id.
func (a *api) message(ctx context.Context, app string, payload []byte) ([]uuid.UUID, error) {
	path := "/svix/api/v1/app/" + app + "/msg?with_content=false"
	body := fmt.Appendf(nil, `{"eventType":%q,"payload":%s}`, eventType, payload)
	data, err := a.callOnce(ctx, http.MethodPost, path, newKey(), body)
	if err != nil {
		return nil, err
	}

	var answer struct{ ID string }
	if err := json.Unmarshal(data, &answer); err != nil {
		return nil, fmt.Errorf("reading the API's answer: %w", err)
	}
	raw, ok := base62.Decode(strings.TrimPrefix(answer.ID, "msg_"), len(uuid.UUID{}))
	if !ok {
		return nil, errors.New("the API's answer has no message's id")
	}
	return []uuid.UUID{uuid.UUID(raw)}, nil
}
