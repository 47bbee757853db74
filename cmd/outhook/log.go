package main

import (
	"io"
	"log/slog"
)

// logFlags configure the log, which goes to stderr.
type logFlags struct {
	LogLevel  slog.Level `env:"OUTHOOK_LOG_LEVEL" default:"info" help:"debug (with a line per attempt that succeeded), info (one per attempt that did not), warn or error."`
	LogFormat string     `env:"OUTHOOK_LOG_FORMAT" default:"auto" enum:"auto,text,json" help:"text, json, or auto: text for dev, json for serve."`
}

func (f logFlags) logger(w io.Writer, auto string) *slog.Logger {
	format := f.LogFormat
	if format == "auto" {
		format = auto
	}

	options := &slog.HandlerOptions{Level: f.LogLevel}

	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
