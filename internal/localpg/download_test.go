//go:build unix

package localpg

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
	"github.com/stretchr/testify/require"
)

// serverArchive is bin/initdb, bin/postgres and bin/pg_ctl as shell scripts that know their version, 18.3, packed the way
// the published binaries are.
//
//go:embed testdata/server.txz
var serverArchive []byte

// serveBinaries publishes a jar with the archive and its checksum, at the paths that the library asks for, and counts the downloads.
func serveBinaries(t *testing.T, checksumOf []byte) (embeddedpostgres.Config, *atomic.Int32) {
	t.Helper()
	var jar bytes.Buffer
	w := zip.NewWriter(&jar)
	entry, err := w.Create("postgres.txz")
	require.NoError(t, err)
	_, err = entry.Write(serverArchive)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	if checksumOf == nil {
		checksumOf = jar.Bytes()
	}
	sum := sha256.Sum256(checksumOf)

	downloads := new(atomic.Int32)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path.Ext(r.URL.Path) == ".sha256" {
			w.Write([]byte(hex.EncodeToString(sum[:])))
			return
		}
		downloads.Add(1)
		w.Write(jar.Bytes())
	}))
	t.Cleanup(server.Close)
	return embeddedpostgres.DefaultConfig().BinaryRepositoryURL(server.URL), downloads
}

func TestFetchBinaries(t *testing.T) {
	t.Parallel()

	t.Run("DownloadsOnceIntoTheCache", func(t *testing.T) {
		t.Parallel()
		cache := newDir(t)
		config, downloads := serveBinaries(t, nil)
		for range 2 {
			dir, err := fetchFrom(t.Context(), cache, config)
			require.NoError(t, err)
			require.True(t, strings.HasPrefix(dir, cache))
			b, err := inspect(t.Context(), dir, 18)
			require.NoError(t, err)
			require.Equal(t, "18.3", b.version)
		}
		require.EqualValues(t, 1, downloads.Load())
		left, err := filepath.Glob(filepath.Join(cache, "download-*"))
		require.NoError(t, err)
		require.Empty(t, left)
	})

	t.Run("WrongChecksumIsRefused", func(t *testing.T) {
		t.Parallel()
		cache := newDir(t)
		config, _ := serveBinaries(t, []byte("another jar"))
		_, err := fetchFrom(t.Context(), cache, config)
		require.ErrorContains(t, err, "downloaded checksums do not match")
		left, err := filepath.Glob(filepath.Join(cache, "*"))
		require.NoError(t, err)
		require.Empty(t, left)
	})

	t.Run("NoNetworkNamesTheAddress", func(t *testing.T) {
		t.Parallel()
		config := embeddedpostgres.DefaultConfig().BinaryRepositoryURL("http://127.0.0.1:1")
		_, err := fetchFrom(t.Context(), newDir(t), config)
		require.ErrorContains(t, err, "unable to connect to http://127.0.0.1:1")
	})
}
