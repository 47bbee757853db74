package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"
)

// Baselines of a run that people look at.
const (
	BaselineUnwatched = "unwatched" // without them
	BaselineAgain     = "again"     // the same once more: what differs between these two is noise
)

// watchedMore is how much of one core the API may need for 20 viewers.
const watchedMore = 0.03

// refreshes finds after how many seconds a page reads itself again.
var refreshes = regexp.MustCompile(`data-refresh="([1-9][0-9]*)"`)

// audience is people who look at the console, each with a session, the page Live and the page Overview.
type audience struct {
	base  string
	key   string
	stop  context.CancelFunc
	group *errgroup.Group
	rows  atomic.Int64 // pieces of the streams that held attempts
	reads atomic.Int64 // of the overview

	refused atomic.Int64 // of those: 503
}

// watch lets people look at an API, until end.
func (st *stage) watch(ctx context.Context, base string) (*audience, error) {
	c := &audience{base: base, key: st.key}
	ctx, c.stop = context.WithCancel(ctx)
	c.group, ctx = errgroup.WithContext(ctx)

	for i := range st.cfg.Viewers {
		v, err := c.logIn(ctx)
		if err != nil {
			return nil, errors.Join(err, c.end())
		}
		c.group.Go(func() error { return silent(ctx, v.follow(ctx)) })
		c.group.Go(func() error {
			// Not all at the same moment.
			return silent(ctx, v.readAgain(ctx, float64(i)/float64(st.cfg.Viewers)))
		})
	}
	return c, nil
}

// end ends looking. It is an error to have seen nothing.
func (c *audience) end() error {
	c.stop()
	err := c.group.Wait()
	if err == nil && (c.rows.Load() == 0 || c.reads.Load() == 0) {
		err = errors.New("the viewers have seen nothing")
	}
	return err
}

// silent keeps to itself what failed because the looking is to end.
func silent(ctx context.Context, err error) error {
	select {
	case <-ctx.Done():
		return nil
	default:
		return err
	}
}

// watcher is one of an audience.
type watcher struct {
	all    *audience
	http   *http.Client
	cookie string
}

// logIn opens a session, as the page for it does.
func (c *audience) logIn(ctx context.Context) (*watcher, error) {
	w := &watcher{all: c, http: &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: 2},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	form := strings.NewReader(url.Values{"key": {c.key}}.Encode())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/console/login", form)
	if err != nil {
		return nil, fmt.Errorf("logging in: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "same-origin")

	res, err := w.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("logging in: %w", err)
	}
	defer res.Body.Close()
	for _, cookie := range res.Cookies() {
		w.cookie = cookie.Name + "=" + cookie.Value // Go's jar keeps it from plain HTTP
	}
	if w.cookie == "" {
		return nil, fmt.Errorf("logging in was answered %d, without a session", res.StatusCode)
	}
	return w, nil
}

// get asks for a page.
func (w *watcher) get(ctx context.Context, path string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.all.base+path, nil)
	if err != nil {
		return nil, fmt.Errorf("asking for %s: %w", path, err)
	}
	req.Header.Set("Cookie", w.cookie)

	res, err := w.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking for %s: %w", path, err)
	}
	if res.StatusCode == http.StatusServiceUnavailable { // a page that is read again some seconds later
		w.all.refused.Add(1)
		return res.Body, nil
	}
	if res.StatusCode != http.StatusOK {
		_ = res.Body.Close()
		return nil, fmt.Errorf("%s was answered %d", path, res.StatusCode)
	}
	return res.Body, nil
}

// follow reads the stream of the page Live until it ends.
func (w *watcher) follow(ctx context.Context) error {
	stream, err := w.get(ctx, "/console/live/stream")
	if err != nil {
		return err
	}
	defer stream.Close()

	lines := bufio.NewReader(stream)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return fmt.Errorf("reading the stream: %w", err)
		}
		if line == "event: rows\n" {
			w.all.rows.Add(1)
		}
	}
}

// readAgain reads the page Overview as often as the page says; the second time after a part of that.
func (w *watcher) readAgain(ctx context.Context, part float64) error {
	each, err := w.read(ctx)
	if err != nil {
		return err
	}
	if each == 0 {
		return errors.New("the overview does not say when it is read again")
	}
	tick := time.NewTimer(time.Duration(part * float64(each)))
	defer tick.Stop()

	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		tick.Reset(each)
		if _, err := w.read(ctx); err != nil {
			return err
		}
	}
}

// read reads the page Overview, and returns after how long it reads itself again. 0: it does not say.
func (w *watcher) read(ctx context.Context) (time.Duration, error) {
	page, err := w.get(ctx, "/console")
	if err != nil {
		return 0, err
	}
	text, err := io.ReadAll(page)
	_ = page.Close()
	if err != nil {
		return 0, fmt.Errorf("reading the overview: %w", err)
	}
	w.all.reads.Add(1)

	found := refreshes.FindSubmatch(text)
	if found == nil {
		return 0, nil // the page was refused
	}
	seconds, err := strconv.Atoi(string(found[1]))
	return time.Duration(seconds) * time.Second, err
}

// Watching is what people who look cost.
type Watching struct {
	// MoreOfACore is how much more CPU the API needed for them, and MoreOfAll everything but the benchmark, in cores: the
	// median of the pairs.
	MoreOfACore float64 `json:"more_of_a_core"`
	MoreOfAll   float64 `json:"more_of_all"`

	// Watched compares with the runs without them, and Control two runs without them.
	Watched []Ratio `json:"watched"`
	Control []Ratio `json:"control"`

	// OK says that no page was refused, that the API needed no more than 0.03 of a core more, and that the receipt's p99
	// is none that a run without them has not had.
	OK bool `json:"ok"`
}

// newWatching compares the runs of a report.
func newWatching(r *Report) *Watching {
	watched, without, again := r.Runs[outhookRuns], r.Runs[BaselineUnwatched], r.Runs[BaselineAgain]
	w := &Watching{
		Watched: ratios(figuresOf(watched), figuresOf(without)),
		Control: ratios(figuresOf(again), figuresOf(without)),
	}

	var api, all, p99s []float64
	for i, f := range watched {
		api = append(api, f.cores("api")-(without[i].cores("api")+again[i].cores("api"))/2)
		all = append(all, f.cores("")-(without[i].cores("")+again[i].cores(""))/2)
		p99s = append(p99s, without[i].ReceiptMS.P99, again[i].ReceiptMS.P99)
	}
	w.MoreOfACore, w.MoreOfAll = median(api), median(all)
	w.OK = r.Refused == 0 && w.MoreOfACore <= watchedMore && r.ReceiptMS.P99 <= slices.Max(p99s)
	return w
}

// cores is how many processors a part kept busy; "": all that is not the benchmark's own.
func (f *Figures) cores(part string) (n float64) {
	for name, us := range f.CPUByPart {
		if name == part || part == "" && name != "client" && name != "receiver" {
			n += us * f.AcceptedPerS / 1e6
		}
	}
	return n
}

// write writes it for people.
func (w *Watching) write(out io.Writer, viewers int) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(table, "\n%d viewers / unwatched\tmedian\tleast\tmost\tunwatched again\tleast\tmost\t\n", viewers)
	for _, r := range w.Watched {
		_, _ = fmt.Fprintf(table, "%s\t%.3f\t%.3f\t%.3f\t", r.Name, r.Median, r.Least, r.Most)
		for _, c := range w.Control {
			if c.Name == r.Name {
				_, _ = fmt.Fprintf(table, "%.3f\t%.3f\t%.3f\t", c.Median, c.Least, c.Most)
			}
		}
		_, _ = fmt.Fprintln(table)
	}

	if err := table.Flush(); err != nil {
		return err
	}
	verdict := "BROKEN: at most 3 % of one core of the API, no page refused, and a receipt's p99 as without them"
	if w.OK {
		verdict = "the receipt's p99 as without them"
	}
	_, err := fmt.Fprintf(out, "\nfor the viewers: the API %+.1f %% of one core, all processes %+.1f %%; %s\n",
		100*w.MoreOfACore, 100*w.MoreOfAll, verdict)
	return err
}
