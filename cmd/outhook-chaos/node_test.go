package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestServingOn(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		`{"level":"INFO","msg":"serving","client_id":"h_2026","address":"127.0.0.1:80","api":true}`: "127.0.0.1:80",
		`{"level":"INFO","msg":"serving","address":"127.0.0.1:80"}`:                                 "127.0.0.1:80",
		`{"level":"INFO","msg":"serving metrics","metrics_address":"127.0.0.1:81"}`:                 "",
		`{"level":"INFO","msg":"serving","addr`:                                                     "",
		`panic: "msg":"serving"`:                                                                    "",
	} {
		require.Equal(t, want, servingOn([]byte(line)), line)
	}
}
