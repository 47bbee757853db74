package main

import (
	"io"
	"log/slog"
)

// logFlags configure the log, which goes to stderr.
type logFlags struct {
	LogLevel  slog.Level `env:"OUTHOOK_LOG_LEVEL" default:"info" help:"debug (with a line per attempt that succeeded), info (with the first of those that did not, and a few a minute, for each endpoint), warn or error."`
	LogFormat string     `env:"OUTHOOK_LOG_FORMAT" default:"auto" enum:"auto,text,json" help:"text, json, or auto: text for dev, json for serve."`
}

// logger returns the logger that the flags describe, and what changes its level.
func (f logFlags) logger(w io.Writer, auto string) (*slog.Logger, *slog.LevelVar) {
	format := f.LogFormat
	if format == "auto" {
		format = auto
	}

	level := &slog.LevelVar{}
	level.Set(f.LogLevel)
	options := &slog.HandlerOptions{Level: level}

	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, options)), level
	}
	return slog.New(slog.NewTextHandler(w, options)), level
}
