package main

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/cmd/outhook/internal/server"
)

func TestErrorsOfTheServerNameTheirVariable(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	of := func(f server.Field, err error) error { return &server.FieldError{Field: f, Err: err} }
	for want, err := range map[string]error{
		"cause": cause,
		"cause (set OUTHOOK_LISTEN to another address)":                     of(server.FieldListen, cause),
		"cause (set OUTHOOK_METRICS_LISTEN to another address, or to none)": of(server.FieldMetricsListen, cause),
		"OUTHOOK_RETENTION: cause":                                          of(server.FieldRetention, cause),
		"OUTHOOK_OWNER_DATABASE_URL: cause":                                 of(server.FieldOwnerURL, cause),
		"OUTHOOK_OWNER_DATABASE_URL: " + errDatabaseURL.Error():             of(server.FieldOwnerURL, server.ErrDatabaseURL),
		errDatabaseURL.Error():                                              server.ErrDatabaseURL,
		"there is no API key: set OUTHOOK_API_KEY (openssl rand -hex 32) or run " +
			"`outhook keys create NAME --scope admin`": server.ErrNoAPIKey,
		errNoDatabase.Error():                       server.ErrNoDatabase,
		"OUTHOOK_RETENTION: cause\nstopping: cause": errors.Join(of(server.FieldRetention, cause), fmt.Errorf("stopping: %w", cause)),
	} {
		require.EqualError(t, named(err), want)
	}
	require.ErrorIs(t, named(of(server.FieldRetention, cause)), cause)
	require.ErrorIs(t, named(server.ErrNoDatabase), errNoDatabase)
	require.NoError(t, named(nil))
}

func TestTracingVariables(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		env  map[string]string
		want server.Protocol
		err  string
	}{
		{nil, server.NoSpans, ""},
		{map[string]string{"OTEL_SERVICE_NAME": "x"}, server.NoSpans, ""},
		{map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, server.NoSpans, ""},
		{map[string]string{"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, server.NoSpans, ""},
		{map[string]string{"OTEL_TRACES_EXPORTER": "zipkin"}, server.NoSpans, "OTEL_TRACES_EXPORTER"},
		{map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, server.NoSpans, "OTEL_EXPORTER_OTLP_PROTOCOL"},
		{map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, server.HTTPProtobuf, ""},
		{map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1"}, server.HTTPProtobuf, ""},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, server.GRPC, ""},
		{
			map[string]string{
				"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc",
				"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
			},
			server.GRPC, "",
		},
	} {
		got, err := spansFrom(func(name string) string { return c.env[name] })
		if c.err != "" {
			require.ErrorContains(t, err, c.err)
			continue
		}
		require.NoError(t, err, c.env)
		require.Equal(t, c.want, got, c.env)
	}
}

func TestMaxSpansFrom(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{"": 7, "x": 7, "0": 7, "-1": 7, "100": 100} {
		require.Equal(t, want, maxSpansFrom(func(string) string { return text }, 7), text)
	}
}
