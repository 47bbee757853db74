package web

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"path"
	"strings"
)

//go:embed languages
var languageFiles embed.FS

// English is the language that the templates are written in.
const English = "en"

// Languages are those that pages can be shown in. A file languages/xx.json adds one: each text as it stands in the
// templates, and what it is in that language.
type Languages struct{ texts map[string]map[string]string }

// NewLanguages returns those that are built in.
func NewLanguages() (*Languages, error) {
	files, err := languageFiles.ReadDir("languages")
	if err != nil {
		return nil, err
	}

	l := &Languages{map[string]map[string]string{English: nil}}
	for _, f := range files {
		data, err := languageFiles.ReadFile("languages/" + f.Name())
		if err != nil {
			return nil, err
		}
		var texts map[string]string
		if err := json.Unmarshal(data, &texts); err != nil {
			return nil, fmt.Errorf("reading the language %s: %w", f.Name(), err)
		}
		l.texts[strings.TrimSuffix(f.Name(), path.Ext(f.Name()))] = texts
	}
	return l, nil
}

// Choose returns the language that is asked for, or else the first of those that a browser prefers which there is, or
// English.
func (l *Languages) Choose(asked, accepted string) string {
	for _, text := range append([]string{asked}, strings.Split(accepted, ",")...) {
		text, _, _ = strings.Cut(strings.TrimSpace(text), ";")
		text, _, _ = strings.Cut(strings.ToLower(text), "-")
		if _, ok := l.texts[text]; ok {
			return text
		}
	}
	return English
}

type languageKey struct{}

// With returns a context in which pages are rendered in a language.
func (l *Languages) With(ctx context.Context, language string) context.Context {
	return context.WithValue(ctx, languageKey{}, l.texts[language])
}

// T returns a text in the page's language.
func T(ctx context.Context, text string) string {
	if texts, ok := ctx.Value(languageKey{}).(map[string]string); ok && texts[text] != "" {
		return texts[text]
	}
	return text
}

// F is T of a text with verbs, as [fmt.Sprintf] has them, in whose places args stand.
func F(ctx context.Context, format string, args ...any) string {
	return fmt.Sprintf(T(ctx, format), args...)
}

// N is T of a number of things: one is the text for 1, and many, which has a %s, for all others.
func N(ctx context.Context, n int, one, many string) string {
	if n == 1 {
		return T(ctx, one)
	}
	return fmt.Sprintf(T(ctx, many), Count(n))
}
