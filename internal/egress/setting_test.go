package egress_test

import (
	"testing"

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
