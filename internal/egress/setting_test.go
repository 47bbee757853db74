package egress_test

import (
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/egress"
)

func TestParsePorts(t *testing.T) {
	t.Parallel()
	got, err := egress.ParsePorts("80, 443,65535")
	require.NoError(t, err)
	require.Equal(t, []uint16{80, 443, 65535}, got)
	got, err = egress.ParsePorts(" any ")
	require.NoError(t, err)
	require.Empty(t, got)
	for _, item := range []string{"", "0", "65536", "-1", "http", "80-90", "any"} {
		_, err := egress.ParsePorts("443," + item)
		require.ErrorContains(t, err, `"`+item+`"`)
	}
	_, err = egress.ParsePorts("")
	require.Error(t, err)
}

// A receiver whose certificate a company's own authority signed is reached with that authority's file, and not without.
func TestPrivateAuthorityIsAdded(t *testing.T) {
	t.Parallel()
	private := newAuthority(t)
	receiver := serveTLS(t, private.config(t, "127.0.0.1", time.Now().Add(time.Hour)), func(http.ResponseWriter, *http.Request) {})
	require.Equal(t, egress.Unreachable, post(t, setup(t, egress.Config{}), receiver.URL).Outcome)

	path := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: private.cert.Raw}), 0o600))
	pool, err := egress.ReadCAs(path)
	require.NoError(t, err)
	res := post(t, setup(t, egress.Config{RootCAs: pool}), receiver.URL)
	require.Equal(t, egress.Succeeded, res.Outcome, res.Error)

	// The system's stay, and another stranger's is not let in.
	other := serveTLS(t, newAuthority(t).config(t, "127.0.0.1", time.Now().Add(time.Hour)), func(http.ResponseWriter, *http.Request) {})
	require.Equal(t, egress.Unreachable, post(t, setup(t, egress.Config{RootCAs: pool}), other.URL).Outcome)

	require.NoError(t, os.WriteFile(path, []byte("no certificate"), 0o600))
	_, err = egress.ReadCAs(path)
	require.ErrorContains(t, err, "PEM")
	_, err = egress.ReadCAs(path + ".missing")
	require.ErrorIs(t, err, os.ErrNotExist)
}
