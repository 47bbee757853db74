//go:build unix

package localpg

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// account is the user who owns a cluster and runs its server. The zero value is ourselves. PostgreSQL refuses to run as
// root, so where we are root it is another user.
type account struct {
	name string
	uid  int
	gid  int
}

// chooseAccount is the owner of the cluster if it exists, else ourselves, or, if we are root, the user postgres or
// nobody.
func chooseAccount(clusterDir string) (account, error) {
	owner, err := ownerOf(clusterDir)
	if err != nil {
		return account{}, err
	}

	if os.Geteuid() != 0 {
		if owner != nil && owner.uid != os.Geteuid() {
			return account{}, fmt.Errorf("opening %s: it belongs to user %s: run as that user or choose another --data-dir",
				clusterDir, owner.name)
		}
		return account{}, nil
	}

	if owner != nil && owner.uid != 0 {
		return *owner, nil
	}
	return firstAccount("postgres", "nobody")
}

// ownerOf is nil if there is no such folder.
func ownerOf(dir string) (*account, error) {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // no folder, no owner
	}
	if err != nil {
		return nil, fmt.Errorf("looking up the data folder's owner: %w", err)
	}

	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil, fmt.Errorf("looking up the owner of %s: this system does not say", dir)
	}

	owner := &account{uid: int(stat.Uid), gid: int(stat.Gid), name: strconv.Itoa(int(stat.Uid))}
	if u, err := user.LookupId(owner.name); err == nil {
		owner.name = u.Username
	}
	return owner, nil
}

// firstAccount is the first of the users that this machine has.
func firstAccount(names ...string) (account, error) {
	for _, name := range names {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.Atoi(u.Uid)
		gid, gidErr := strconv.Atoi(u.Gid)
		return account{name: name, uid: uid, gid: gid}, errors.Join(uidErr, gidErr)
	}
	return account{}, fmt.Errorf("choosing a user to run PostgreSQL, which refuses to run as root: "+
		"this machine has none of %q: create one of them or run as an ordinary user", names)
}

func (a account) ours() bool { return a.uid == 0 }

// own gives files of ours to the account.
func (a account) own(paths ...string) error {
	if a.ours() {
		return nil
	}
	for _, path := range paths {
		if err := os.Chown(path, a.uid, a.gid); err != nil {
			return err
		}
	}
	return nil
}

// attributes make a child run as the account.
func (a account) attributes() *syscall.SysProcAttr {
	if a.ours() {
		return nil
	}
	return &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}, //nolint:gosec // ids are 32 bits wide
	}
}

func ownedByUs(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}
