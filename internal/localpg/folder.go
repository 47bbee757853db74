package localpg

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ErrLocked says that another live process uses the data folder. [Start]'s error names the folder and the process.
var ErrLocked = errors.New("data folder is in use: stop the process that uses it or choose another --data-dir")

const (
	temporaryPrefix = "outhook-pg-"
	lockName        = "lock"
	passwordName    = "password"
	portName        = "port"
	logName         = "postgres.log"
	clusterName     = "pg"

	// maxLogBytes is the size above which a start empties postgres.log. 10 MB are about 100,000 lines: days of a
	// developer's errors, and still quick to search.
	maxLogBytes = 10 << 20
	// tailLines is how much of the server's log an error shows: what postgres says between its first line and a fatal one.
	tailLines = 20
	// maxTailBytes bounds what is read to find tailLines; a line of the log may hold a whole statement.
	maxTailBytes = 64 << 10
	// passwordBytes is the entropy of the superuser's password, the size of the SCRAM-SHA-256 hash that protects it.
	passwordBytes = 32
)

// folder is a server's data folder, locked for this process. It belongs to us; only the cluster in it belongs to the
// account that runs the server, so where we are root that account can't plant links for us to follow.
type folder struct {
	path      string // absolute, symbolic links resolved, so that it can be compared with what the kernel says
	temporary bool
	lock      *os.File
	log       *os.File
}

// openFolder makes the folder if need be and locks it. An empty name makes a temporary one.
func openFolder(name string) (*folder, error) {
	path, err := makeFolder(name)
	if err != nil {
		return nil, fmt.Errorf("making data folder: %w", err)
	}

	f := &folder{path: path, temporary: name == ""}
	if f.lock, err = lockFolder(path); err != nil {
		return nil, err
	}
	if f.log, err = openLog(filepath.Join(path, logName)); err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

// loadPort returns the port of the last start, 0 if nobody knows.
func (f *folder) loadPort() int {
	text, err := os.ReadFile(filepath.Join(f.path, portName))
	if err != nil {
		return 0
	}
	port, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || port < 1 || port > 65535 {
		return 0
	}
	return port
}

// keepPort writes down the port of a folder that is kept.
func (f *folder) keepPort(port int) error {
	if f.temporary || port == f.loadPort() {
		return nil
	}
	if err := os.WriteFile(filepath.Join(f.path, portName), []byte(strconv.Itoa(port)+"\n"), 0o600); err != nil {
		return fmt.Errorf("keeping the port: %w", err)
	}
	return nil
}

func makeFolder(name string) (string, error) {
	path, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}

	if name == "" {
		path, err = os.MkdirTemp("", temporaryPrefix)
	} else if _, statErr := os.Stat(path); statErr == nil {
		return filepath.EvalSymlinks(path)
	} else {
		err = os.MkdirAll(path, folderMode())
	}

	if err == nil {
		err = os.Chmod(path, folderMode()) // MkdirTemp and the umask know nothing of the server's account
	}
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(path)
}

// folderMode is private to us, but lets the server's account pass through to its cluster where that is another one.
func folderMode() fs.FileMode {
	if os.Geteuid() == 0 {
		return 0o711
	}
	return 0o700
}

// lockFolder takes the lock that the live process holds on a data folder. The kernel releases it when the process dies,
// however it dies. The file holds the process id in decimal, for people.
func lockFolder(path string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(path, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening lock of data folder: %w", err)
	}

	if err := tryLock(f); err != nil {
		holder, _ := io.ReadAll(io.LimitReader(f, 20)) // only to name it: an unreadable one is no other error
		err = fmt.Errorf("locking %s (process %s): %w", path, strings.TrimSpace(string(holder)), err)
		return nil, errors.Join(err, f.Close())
	}

	if err := writePID(f); err != nil {
		return nil, errors.Join(fmt.Errorf("writing lock of data folder: %w", err), f.Close())
	}
	return f, nil
}

func writePID(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

func openLog(path string) (*os.File, error) {
	flags := os.O_CREATE | os.O_WRONLY | os.O_APPEND
	if info, err := os.Stat(path); err == nil && info.Size() > maxLogBytes {
		flags |= os.O_TRUNC
	}

	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening postgres' log: %w", err)
	}
	return f, nil
}

func (f *folder) clusterDir() string { return filepath.Join(f.path, clusterName) }

// loadPassword reads the superuser's password, 64 hexadecimal digits, or draws one for a cluster that is still to be
// made.
func (f *folder) loadPassword(clusterExists bool) (string, error) {
	path := filepath.Join(f.path, passwordName)
	text, err := os.ReadFile(path)
	if err == nil {
		return strings.TrimSpace(string(text)), nil
	}
	if clusterExists || !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("reading the cluster's password: %w", err)
	}

	secret := make([]byte, passwordBytes)
	rand.Read(secret) // never fails, as its documentation says
	password := hex.EncodeToString(secret)
	if err := writeSynced(path, password+"\n"); err != nil {
		return "", fmt.Errorf("writing the cluster's password: %w", err)
	}
	return password, nil
}

// writeSynced writes a file that appears complete or not at all, also after a power failure.
func writeSynced(path, text string) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+"-") // 0600
	if err != nil {
		return err
	}

	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// logSize is where the next run's lines begin.
func (f *folder) logSize() int64 {
	info, err := f.log.Stat()
	if err != nil {
		return 0 // shows an older line or two in an error message, no more
	}
	return info.Size()
}

// logTail is the last lines that the server has logged since the log had the given size.
func (f *folder) logTail(since int64) string {
	r, err := os.Open(filepath.Join(f.path, logName))
	if err != nil {
		return err.Error()
	}
	defer r.Close() //nolint:errcheck // it was only read

	start := max(since, f.logSize()-maxTailBytes)
	text, err := io.ReadAll(io.NewSectionReader(r, start, maxTailBytes))
	if err != nil {
		return err.Error()
	}
	return lastLines(string(text))
}

func lastLines(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-tailLines):], "\n")
}

// close releases the folder and removes a temporary one, after the files in it are closed as Windows demands.
func (f *folder) close() error {
	var err error
	if f.log != nil {
		err = f.log.Close()
	}
	err = errors.Join(err, unlock(f.lock), f.lock.Close())
	if f.temporary {
		err = errors.Join(err, os.RemoveAll(f.path))
	}
	return err
}
