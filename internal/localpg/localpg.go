// Package localpg runs a PostgreSQL server of our own on loopback: the database of `outhook dev` and of the tests.
//
// It starts an installed PostgreSQL's binaries, as another user where we are root, and keeps everything in one folder.
// It needs no shell, no service manager and no configuration file. The server listens on 127.0.0.1 only, asks for a
// random password, and ends with the process that started it where the operating system allows that (Linux); elsewhere
// the next [Start] on the same folder finds the orphan and ends it.
package localpg

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"slices"
	"strconv"
	"sync"

	"github.com/outhook/outhook/internal/child"
)

const (
	// superuser owns the cluster. It is not called outhook: a schema with the user's name is in the search_path and would
	// hide a name in our SQL that lacks its schema.
	superuser = "postgres"
	// applicationDatabase exists in each cluster once Start has returned.
	applicationDatabase = "outhook"
	// loopback is the only address that the server listens on.
	loopback = "127.0.0.1"
)

// Config says where a server keeps its data and how it runs. The zero value is a temporary server: its folder goes away
// with [Server.Stop], and it gives up crash safety of the machine (not of the process) for speed.
type Config struct {
	// BinDir is the folder of initdb, postgres and pg_ctl, version 15 or later.
	//
	// Defaults to what [FindBinaries] finds. If the data folder exists already, to binaries of the major version that
	// made it. If nothing is installed, binaries are downloaded once into the user's cache folder.
	BinDir string

	// DataDir is the folder that holds everything: pg (the cluster), lock, password, port and postgres.log. It is made if
	// absent. Where we are root, the user who runs the server must be able to traverse each of its parents.
	//
	// Defaults to a temporary folder below [os.TempDir] that Stop removes.
	DataDir string

	// Port is the TCP port on 127.0.0.1.
	//
	// Defaults to that of the last start on a data folder of yours, unless it is taken by now, or else to a free one.
	Port int

	// Reset removes the cluster first, with all that is in it.
	Reset bool

	// Settings are PostgreSQL settings (name to value) that override the cluster's. The settings that make a server
	// reachable (port, listen_addresses, unix_socket_directories) can't be set.
	//
	// Defaults to nothing for a DataDir of yours: full durability. A temporary server gets fsync=off,
	// full_page_writes=off, synchronous_commit=on, max_connections=300 and shared_buffers=128MB.
	Settings map[string]string

	// Logger gets a line for each start, stop and orphan. The server's own log is the file postgres.log in DataDir.
	//
	// Defaults to a logger that discards.
	Logger *slog.Logger
}

// temporarySettings are for data that nobody keeps: no fsync, so a crash of the machine may lose the cluster. A crash
// of the server process loses nothing, because the kernel has the pages. synchronous_commit stays on, so that commits
// wait for WAL writes as they do in production. 300 connections hold 30 test pools of 10.
func temporarySettings() map[string]string {
	return map[string]string{
		"fsync":              "off",
		"full_page_writes":   "off",
		"synchronous_commit": "on",
		"max_connections":    "300",
		"shared_buffers":     "128MB",
	}
}

func (c Config) validate() error {
	if c.Port < 0 || c.Port > 65535 {
		return fmt.Errorf("validating Port: %d is not between 0 and 65535", c.Port)
	}
	for _, name := range []string{"port", "listen_addresses", "unix_socket_directories"} {
		if _, ok := c.Settings[name]; ok {
			return fmt.Errorf("validating Settings: %s can't be set, the server always listens on %s alone", name, loopback)
		}
	}
	return nil
}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}

	settings := map[string]string{}
	if c.DataDir == "" {
		settings = temporarySettings()
	}
	maps.Copy(settings, c.Settings)
	c.Settings = settings
	return c
}

// arguments are the server's settings as command line arguments. What makes it reachable comes last, since the last
// wins. No Unix socket: its path may not be longer than about 100 bytes, and a data folder's can be.
func (c Config) arguments(port int) []string {
	var args []string
	for _, name := range slices.Sorted(maps.Keys(c.Settings)) {
		args = append(args, "-c", name+"="+c.Settings[name])
	}
	return append(args,
		"-c", "listen_addresses="+loopback,
		"-c", "unix_socket_directories=",
		"-c", "port="+strconv.Itoa(port))
}

// Server is a PostgreSQL server that this process started. Its methods may be called from several goroutines at once.
type Server struct {
	cfg      Config
	folder   *folder
	cluster  cluster
	password string

	mu      sync.Mutex // held for the whole of Restart, Kill and Stop; guards what follows
	port    int
	run     *child.Process
	stopped bool
}

// Start brings up a server and returns once it accepts connections and the database "outhook" (UTF8) exists. A data
// folder that holds nothing yet is initialised, in a way that a crash in the middle leaves nothing half done. An orphan
// that a killed process left on the folder is stopped first.
//
// The context bounds the start alone; give it a deadline, since a crash recovery can take long. Returns [ErrLocked] if
// another live process uses the folder, [ErrNoBinaries] if there is no PostgreSQL to start, an error that names both
// versions if another one has made the folder, and one with the last lines of the server's log if it exits early.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}

	folder, err := openFolder(cfg.DataDir)
	if err != nil {
		return nil, err
	}

	s := &Server{cfg: cfg.withDefaults(), folder: folder, port: cfg.Port}
	if err := s.setUp(ctx); err != nil {
		return nil, errors.Join(err, folder.close())
	}
	return s, nil
}

func (s *Server) setUp(ctx context.Context) error {
	var err error
	if s.cfg.Reset {
		if err = s.reset(ctx); err != nil {
			return err
		}
	}
	if s.cluster, err = openCluster(ctx, s.folder.clusterDir(), s.cfg.BinDir, s.cfg.Logger); err != nil {
		return err
	}

	if s.folder.temporary {
		sweepTemporary(ctx, s.cluster)
	}

	if s.password, err = s.folder.loadPassword(s.cluster.exists()); err != nil {
		return err
	}
	if err := s.cluster.initialise(ctx, s.folder.path, s.password, s.folder.temporary); err != nil {
		return err
	}
	return s.boot(ctx)
}

// reset removes the cluster, once no server of a process before uses it any more. What other versions have made can be
// removed without their binaries.
func (s *Server) reset(ctx context.Context) error {
	old, err := openCluster(ctx, s.folder.clusterDir(), s.cfg.BinDir, s.cfg.Logger)
	if err == nil {
		err = old.clearOrphans(ctx)
	} else if _, other := errors.AsType[*majorError](err); other {
		err = nil
	}
	if err != nil {
		return err
	}

	if err := os.RemoveAll(s.folder.clusterDir()); err != nil {
		return fmt.Errorf("removing the cluster: %w", err)
	}
	return nil
}

// URL is the address of a database of this server, for the superuser "postgres", password included:
// postgres://postgres:<password>@127.0.0.1:<port>/<database>?sslmode=disable.
func (s *Server) URL(database string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.url(database)
}

func (s *Server) url(database string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(superuser, s.password),
		Host:     loopback + ":" + strconv.Itoa(s.port),
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Version is the version of the server's binaries as they print it, for example "15.18".
func (s *Server) Version() string { return s.cluster.bin.version }

// BinDir is the folder of the binaries that the server runs from; psql and pg_dump are often there too.
func (s *Server) BinDir() string { return s.cluster.bin.dir }

// DataDir is the absolute folder that holds the server's data, log and password, with symbolic links resolved.
func (s *Server) DataDir() string { return s.folder.path }

// Done is closed when the server's present run ends, for whatever reason. After a Restart it is another channel.
func (s *Server) Done() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.run.Done()
}

// Stop shuts the server down: open transactions are rolled back, a checkpoint is written, the folder's lock is released
// and a temporary folder removed. If ctx ends first, the server is ended at once, which its next start repairs from the
// write-ahead log, and Stop returns the context's error. A second call does nothing.
func (s *Server) Stop(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.stopped {
		return nil
	}
	s.stopped = true
	return errors.Join(
		s.cluster.shutdown(ctx, s.run),
		s.cluster.killLeftovers(context.WithoutCancel(ctx)),
		s.folder.close(),
	)
}

// Kill ends the server's main process with SIGKILL, as a crash would, and returns once it is gone. Its backends notice
// and end by themselves, those in the middle of a computation later. The folder's lock stays held: follow it with
// Restart or Stop.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return kill(s.run)
}

// Restart brings the server up again on the same port and data: after a Kill, which makes it recover from the
// write-ahead log, or after a fast shutdown of its own if it is running. The context bounds it as it does Start. If it
// fails, the server is down and Restart can be called again.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.stopped {
		return errors.New("restarting postgres: the server was stopped for good")
	}
	if err := s.cluster.shutdown(ctx, s.run); err != nil {
		return err
	}
	return s.boot(ctx)
}
