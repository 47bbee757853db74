package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"github.com/outhook/outhook/cmd/outhook/internal/server"
	"github.com/outhook/outhook/internal/pg"
)

// errDatabaseURL does not repeat the URL, which holds a password.
var errDatabaseURL = errors.New("OUTHOOK_DATABASE_URL is not valid: " +
	"it must look like postgres://user:password@host:5432/database")

// named returns an error of package server with the variables that cure it: the server knows fields, and people set
// variables.
func named(err error) error {
	// Of joined errors each; no errors.As, since what lies deeper has a context that must stay.
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		var list []error
		for _, one := range several.Unwrap() {
			list = append(list, named(one))
		}
		return errors.Join(list...)
	}

	if field, ok := errors.AsType[*server.FieldError](err); ok {
		return namedField(field)
	}

	switch {
	case errors.Is(err, server.ErrNoDatabase):
		return errNoDatabase
	case errors.Is(err, server.ErrDatabaseURL):
		return errDatabaseURL
	case errors.Is(err, pg.ErrNoSession):
		return fmt.Errorf("%w (OUTHOOK_DATABASE_URL)", err)
	case errors.Is(err, server.ErrNoAPIKey):
		return fmt.Errorf("%w: set OUTHOOK_API_KEY (openssl rand -hex 32) "+
			"or run `outhook keys create NAME --scope admin`", err)
	}
	return err
}

func namedField(e *server.FieldError) error {
	switch e.Field {
	case server.FieldListen:
		return fmt.Errorf("%w (set OUTHOOK_LISTEN to another address)", e.Err)
	case server.FieldKeyring:
		return fmt.Errorf("OUTHOOK_ENCRYPTION_KEY: %w", e.Err)
	case server.FieldMetricsListen:
		return fmt.Errorf("%w (set OUTHOOK_METRICS_LISTEN to another address, or to none)", e.Err)
	case server.FieldOwnerURL:
		return fmt.Errorf("OUTHOOK_OWNER_DATABASE_URL: %w", named(e.Err))
	case server.FieldRetention:
		return fmt.Errorf("OUTHOOK_RETENTION: %w", e.Err)
	}

	return e
}

// warn returns what logs the server's notices with the variables that they are about.
func warn(logger *slog.Logger) func(context.Context, server.Notice) {
	return func(ctx context.Context, n server.Notice) {
		switch n {
		case server.MetricsAddressTaken:
			logger.WarnContext(ctx, "not serving metrics: another process has the default address; "+
				"set OUTHOOK_METRICS_LISTEN to another, or to none",
				slog.String("metrics_address", server.DefaultConfig().Telemetry.MetricsListen))
		case server.NotOwner:
			logger.WarnContext(ctx, "this database user does not own the schema: "+
				"old partitions stay until OUTHOOK_OWNER_DATABASE_URL is set")
		}
	}
}

// spansFrom returns how the standard variables of OpenTelemetry ask for spans to be exported: not at all unless one of
// them names where spans go. The sampler, the limits, the headers and the rest are read by OpenTelemetry itself.
func spansFrom(getenv func(string) string) (server.Protocol, error) {
	wanted := getenv("OTEL_TRACES_EXPORTER") == "otlp" ||
		getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
	switch exporter := getenv("OTEL_TRACES_EXPORTER"); {
	case strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") || exporter == "none":
		return server.NoSpans, nil
	case exporter != "" && exporter != "otlp":
		return server.NoSpans, errors.New("OTEL_TRACES_EXPORTER must be otlp or none")
	case !wanted:
		return server.NoSpans, nil
	}

	protocol := cmp.Or(getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), getenv("OTEL_EXPORTER_OTLP_PROTOCOL"))
	switch p := cmp.Or(server.Protocol(protocol), server.HTTPProtobuf); p {
	case server.HTTPProtobuf, server.GRPC:
		return p, nil
	case server.NoSpans:
	}
	return server.NoSpans, errors.New("OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf or grpc")
}

// maxSpansFrom reads how many spans may wait as OpenTelemetry does, for which what is no number above 0 is not set.
func maxSpansFrom(getenv func(string) string, otherwise int) int {
	if n, err := strconv.Atoi(getenv("OTEL_BSP_MAX_QUEUE_SIZE")); err == nil && n > 0 {
		return n
	}
	return otherwise
}
