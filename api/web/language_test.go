package web_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api/web"
)

// said matches texts that are shown in the page's language: of T, of F, of N, and of a visit's t and f.
var said = regexp.MustCompile("(?s)(?:\\b[TF]\\(ctx, |\\.[tf]\\(\\s*|\\bN\\([^\"]*?)(\"(?:[^\"\\\\]|\\\\.)*\"|`[^`]*`)(?:,\\s*(\"(?:[^\"\\\\]|\\\\.)*\"))?")

// Each text of the portal is in each language, with the same verbs.
func TestLanguagesHaveEveryText(t *testing.T) {
	t.Parallel()
	texts := map[string]bool{}
	for _, pattern := range []string{"*.templ", "../portal/*.go"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			data, err := os.ReadFile(name)
			require.NoError(t, err)
			for _, m := range said.FindAllStringSubmatch(string(data), -1) {
				for _, quoted := range m[1:] {
					isArgument := quoted == m[2] && !strings.Contains(m[0], "N(")
					if quoted == "" || isArgument {
						continue
					}
					text, err := strconv.Unquote(quoted)
					require.NoError(t, err, "%s: %s", name, quoted)
					texts[text] = true
				}
			}
		}
	}
	require.Greater(t, len(texts), 150)

	files, err := filepath.Glob("languages/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	verb := regexp.MustCompile(`%[a-z]`)
	for _, name := range files {
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		var known map[string]string
		require.NoError(t, json.Unmarshal(data, &known))
		for text := range texts {
			require.NotEmpty(t, known[text], "%s lacks %q", name, text)
		}
		for text, other := range known {
			require.Equal(t, verb.FindAllString(text, -1), verb.FindAllString(other, -1), "%s: %s", name, text)
		}
	}
}

// No text of the portal stands in a template as it is: it would be English in every language.
func TestThePortalSaysNothingBare(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("portal*.templ")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	bare := regexp.MustCompile(`>\s*[A-Za-z][^<{]*<|(?:aria-label|title|placeholder)="[^"]+"`)
	for _, name := range files {
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		for _, text := range bare.FindAllString(string(data), -1) {
			require.Contains(t, []string{
				">URL<", `placeholder="ohc_…"`, ">webhook-id<", ">webhook-timestamp<", ">webhook-signature<",
			}, text, name)
		}
	}
}

func TestChooseALanguage(t *testing.T) {
	t.Parallel()
	l, err := web.NewLanguages()
	require.NoError(t, err)
	for asked, want := range map[[2]string]string{
		{"", ""}: "en", {"de", "en"}: "de", {"", "de-AT,de;q=0.9,en;q=0.8"}: "de", {"", "fr, en-GB;q=0.7, de;q=0.3"}: "en",
		{"tlh", "*"}: "en", {"en", "de"}: "en", {"", "../de"}: "en",
	} {
		require.Equal(t, want, l.Choose(asked[0], asked[1]), asked)
	}

	german := l.With(t.Context(), "de")
	require.Equal(t, "Endpunkte", web.T(german, "Endpoints"))
	require.Equal(t, "und 3 weitere", web.F(german, "and %s more", "3"))
	require.Equal(t, "Nobody has this", web.T(german, "Nobody has this"))
	require.Equal(t, "1,200 endpoints", web.N(t.Context(), 1200, "1 endpoint", "%s endpoints"))
	require.Equal(t, "1 Endpunkt", web.N(german, 1, "1 endpoint", "%s endpoints"))
}
