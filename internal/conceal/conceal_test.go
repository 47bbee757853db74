package conceal_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/conceal"
)

const (
	token  = `s3cr+t/tok=en"&'\<>%41_-~`
	bearer = "Bearer " + token
)

// key has bytes of all kinds, with what looks like escapes and UTF-8 among them.
func key() []byte { return []byte("\x00\xffk\n%41\xc3\xa9\\n&amp;+ \x80\x9f=\xc2\xb5end\\u0041~") }

func signatures() (header string, texts []string) {
	first, second := bytes.Repeat([]byte{0xfb, 0xef, 1, 'a'}, 8), bytes.Repeat([]byte{0xff, 0xfe, 'b', '\n'}, 8)
	texts = []string{base64.StdEncoding.EncodeToString(first), base64.StdEncoding.EncodeToString(second)}
	return "v1," + texts[0] + " v1," + texts[1], append(texts, string(first), string(second))
}

func concealer() func(name string, text []byte, whole bool) []byte {
	var c conceal.Concealer
	c.AddHeader("authorization", bearer)
	c.AddHeader("x-pin", "12+4")
	c.AddKey(key())
	header, _ := signatures()
	return c.Answer(header)
}

func values() map[string]string {
	_, texts := signatures()
	return map[string]string{
		"Header": bearer, "Token": token, "Key": string(key()), "KeyText": base64.StdEncoding.EncodeToString(key()),
		"Signature": texts[0], "OldSignature": texts[1], "RawSignature": texts[2],
	}
}

func queryEscape(s string) string { return url.QueryEscape(s) }

func quoteJSON(s string, escapeHTML bool) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(escapeHTML)
	if err := enc.Encode(latin1(s)); err != nil {
		panic(err)
	}
	text := strings.TrimSpace(b.String())
	return text[1 : len(text)-1]
}

// latin1 reads a header's bytes as Python and Node do, so that each becomes a character; ASCII stays what it is.
func latin1(s string) string {
	var b strings.Builder
	for i := range len(s) {
		b.WriteRune(rune(s[i]))
	}
	return b.String()
}

// each writes each byte in a format.
func each(s, format string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, format, s[i])
	}
	return b.String()
}

// A receiver may write what it got in any encoding, in two, and with anything around it.
func TestValuesAreCutInEveryEncoding(t *testing.T) {
	t.Parallel()
	cut, o := concealer(), newOracle()
	for name, value := range values() {
		for i, outer := range encodings() {
			for j, inner := range encodings() {
				before := "abc"[:(i+j)%4] // each alignment of base64
				text := `{"é": "` + outer.encode(inner.encode(before+value+"behind")) + `"}`
				out := string(cut("", []byte(text), true))
				require.Contains(t, out, conceal.Marker, "%s %s %s", name, outer.name, inner.name)
				require.True(t, strings.HasPrefix(out, `{"é": "`), out)
				require.True(t, strings.HasSuffix(out, `"}`), out)
				require.False(t, o.reveals(out, value[2:len(value)-2], 2), "%s %s %s: %s", name, outer.name, inner.name, out)
			}
		}
	}
}

// What stands around a value stays, also where parts of it are escaped in turn.
func TestOnlyTheValueIsCut(t *testing.T) {
	t.Parallel()
	cut := concealer()
	text64 := base64.StdEncoding.EncodeToString(key())
	header, _ := signatures()
	for in, want := range map[string]string{
		"authorization: " + bearer + "\r\nhost: a":                  "authorization: [redacted]\r\nhost: a",
		"invalid token " + token + "!":                              "invalid token [redacted]!",
		token + token:                                               "[redacted]",
		token + " " + token:                                         "[redacted] [redacted]",
		"secret whsec_" + text64 + " is wrong":                      "secret whsec_[redacted] is wrong",
		"whsec_" + strings.TrimRight(text64, "="):                   "whsec_[redacted]",
		"got " + header + ";":                                       "got v1,[redacted] v1,[redacted];",
		"?t=" + queryEscape(token) + "&n=1":                         "?t=[redacted]&n=1",
		"?t=s3cr%2Bt/tok%3den%22&amp;%2527\\u005C<>%2541_-~&n=1":    "?t=[redacted]&n=1",
		`{"a":"` + quoteJSON(token, true) + `","b":"\u00e9"}`:       `{"a":"[redacted]","b":"\u00e9"}`,
		`{"a":"` + quoteJSON(quoteJSON(token, true), true) + `\""}`: `{"a":"[redacted]\""}`,
		"%s3cr+t %": "%s3cr+t %",
	} {
		require.Equal(t, want, string(cut("", []byte(in), true)), in)
	}

	for _, in := range []string{"", "ok", `{"ok":true}`, "é%20&amp;\\u00e9+ 100% of \\ " + strings.Repeat("YWJj", 300), "s3cr+t/tok"} {
		text := []byte(in)
		out := cut("", text, true)
		require.Equal(t, in, string(out))
		require.Equal(t, len(in), cap(out[:len(out):len(in)]))
	}
}

// The credentials of Basic authentication are cut in each form, whichever part of them is the secret.
func TestBasicCredentialsAreCut(t *testing.T) {
	t.Parallel()
	for _, pair := range []string{"username:s3cret-password", "s3cret-password:", ":s3cret-password", "s3cret-password"} {
		var c conceal.Concealer
		c.AddHeader("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(pair)))
		cut := c.Answer("")
		for _, text := range []string{
			"Basic " + base64.StdEncoding.EncodeToString([]byte(pair)), base64.RawURLEncoding.EncodeToString([]byte("x" + pair)),
			"wrong password s3cret-password", "wrong user " + pair,
		} {
			out := string(cut("", []byte(text), true))
			require.Contains(t, out, conceal.Marker)
			require.Equal(t, "no username", string(cut("", []byte("no username"), true)))
			require.False(t, newOracle().reveals(out, "s3cret-password", 2), out)
		}
	}
}

func TestAShortValueIsCutBehindItsName(t *testing.T) {
	t.Parallel()
	cut := concealer()
	for in, want := range map[string]string{
		"X-Pin: 12+4\r\n":                              "X-Pin: [redacted]\r\n",
		"HTTP_X_PIN=12+4":                              "HTTP_X_PIN=[redacted]",
		`{"x-pin":"12+4"}`:                             `{"x-pin":"[redacted]"}`,
		`["X-Pin","12+4"]`:                             `["X-Pin","[redacted]"]`,
		`{"name":"x-pin","value":"12+4"}`:              `{"name":"x-pin","value":"[redacted]"}`,
		"<x-pin>12+4</x-pin>":                          "<x-pin>[redacted]</x-pin>",
		"[X-Pin] => 12+4":                              "[X-Pin] => [redacted]",
		`{"dump":"a\r\nX-Pin: 12+4\r\n"}`:              `{"dump":"a\r\nX-Pin: [redacted]\r\n"}`,
		`{"dump":"{\"x-pin\":\"12\u002b4\"}"}`:         `{"dump":"{\"x-pin\":\"[redacted]\"}"}`,
		"x-pin=12%2B4&x-pin=12+4&x-pin=12+4":           "x-pin=[redacted]&x-pin=[redacted]&x-pin=[redacted]",
		"12+4":                                         "12+4",
		"the x-pin of 12+4":                            "the x-pin of 12+4",
		"x-pin:" + strings.Repeat(" ", 40) + "12+4":    "x-pin:" + strings.Repeat(" ", 40) + "12+4",
		"x-pin: 13, x-other: 12+4, x-pin":              "x-pin: 13, x-other: 12+4, x-pin",
		"x-pin12+4":                                    "x-pin12+4",
		base64.StdEncoding.EncodeToString([]byte("x")): "eA==",
	} {
		require.Equal(t, want, string(cut("", []byte(in), true)), in)
	}

	// In a dump that is encoded, and in the header of the same name.
	out := string(cut("", []byte(base64.StdEncoding.EncodeToString([]byte("a: b\r\nX-Pin: 12+4\r\nc: d"))), true))
	require.False(t, newOracle().reveals(out, "12+4", 1), out)
	require.Contains(t, out, conceal.Marker)
	require.Equal(t, "[redacted]", string(cut("X-Pin", []byte("12+4"), true)))
	require.Equal(t, "12+4", string(cut("X-Other", []byte("12+4"), true)))
	require.Equal(t, "a [redacted]", string(cut("Server", []byte("a "+token), true)))
}

// A body that breaks off, or of which no more is read, may end within a value. Its beginning is cut wherever the end is.
func TestAValueThatIsCutOffIsCut(t *testing.T) {
	t.Parallel()
	cut, o := concealer(), newOracle()
	for name, value := range values() {
		for _, e := range encodings() {
			encoded := "text " + e.encode(value)
			for end := 0; end < len(encoded); end += 1 + end/20 {
				out := strings.ReplaceAll(string(cut("", []byte(encoded[:end]), false)), conceal.Marker, "\x00")
				require.False(t, o.reveals(out, value[:5], 2), "%s %s: %q of %q", name, e.name, out, encoded[:end])
			}
		}
	}

	require.Equal(t, "x-pin: [redacted]", string(cut("", []byte("x-pin: 1"), false)))
	require.Equal(t, "x-pin: ", string(cut("", []byte("x-pin: "), false)))
	require.Equal(t, "x-pin: 1", string(cut("", []byte("x-pin: 1"), true)))
	require.Equal(t, "Bearer", string(cut("", []byte("Bearer"), true)))
	require.Equal(t, "no s3c", string(cut("", []byte("no s3c"), false)))
}

func TestWithoutValuesNothingIsCut(t *testing.T) {
	t.Parallel()
	var c conceal.Concealer
	c.AddHeader("x-empty", "")
	for _, text := range []string{"", "ok", strings.Repeat("YWJj%41", 100)} {
		for _, whole := range []bool{true, false} {
			require.Equal(t, text, string(c.Answer("")("", []byte(text), whole)))
			require.Equal(t, text, string(c.Answer("")("X-Empty", []byte(text), whole)))
		}
	}
}

// Most answers are short: they must cost nothing.
func TestAShortAnswerCostsNothing(t *testing.T) { //nolint:paralleltest // it counts allocations
	cut := concealer()
	body := []byte("ok")
	require.Zero(t, testing.AllocsPerRun(100, func() { body = cut("", body, true) }))
}

// FuzzConceal: whatever stands around a value, and in whichever encodings it is written, no reading finds it in the result.
func FuzzConceal(f *testing.F) {
	f.Add(token, "x", "y", []byte{0}, true)
	f.Add(bearer, "%4", "1\\", []byte{1, 14}, true)
	f.Add("12345678", "1234", "5678", []byte{18, 6, 14}, false)
	f.Add(`%41%42&amp;\u0041\\n`, "YWJj", "ZGVm", []byte{8, 11, 3}, true)
	f.Add("aaaaaaaaaaaa", "aaaa", "aaaa", []byte{16, 17}, false)
	f.Add(`000%00&amp;\u0000\\X`, " X YxYX", "ZXVX", []byte{5, 8}, true) // seven characters are left of it, in four steps
	f.Fuzz(func(t *testing.T, value, before, after string, how []byte, whole bool) {
		if len(value) < 8 || len(value) > 60 || len(before)+len(after) > 200 || len(how) > 3 ||
			strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) || strings.TrimSpace(value) != value {
			t.Skip("no header's value")
		}
		o := newOracle()
		for _, reading := range o.readings(value) {
			if len(reading) < 8 && !strings.HasPrefix(value, "Basic ") {
				continue
			}
			if o.reveals(before+"\n"+after, reading, 2) {
				t.Skip("it is there already")
			}
		}
		written, deep := value, 0
		for _, i := range how {
			e := encodings()[int(i)%len(encodings())]
			if e.deep() {
				deep++
			}
			written = e.encode(written)
		}
		if deep > 2 {
			t.Skip("deeper than what is looked through")
		}
		text := before + "\n\"" + written + "\"\n" + after

		var c conceal.Concealer
		c.AddHeader("x-token", value)
		out := string(c.Answer("")("", []byte(text), whole))
		if out == text && plainLength(o, value) < 8 {
			t.Skip("too little of it is left without what looks like escapes")
		}
		bare := strings.ReplaceAll(out, conceal.Marker, "\x00")
		require.False(t, o.reveals(bare, value, len(how)), "%q came of %q", out, text)
	})
}

// plainLength returns the length of what is left of a value when no reading makes it shorter.
func plainLength(o oracle, value string) int {
	for {
		shorter := value
		for _, r := range o.readings(value)[:4] {
			if len(r) < len(shorter) {
				shorter = r
			}
		}
		if len(shorter) == len(value) {
			return len(value)
		}
		value = shorter
	}
}

func BenchmarkConceal(b *testing.B) {
	page := "<html><head><title>502 Bad Gateway</title></head><body class=\"error-page\">\r\n"
	token := "Bearer sk_live_51H8xYzAbCdEf0123456789"
	secret, sum := sha256.Sum256([]byte("secret")), sha256.Sum256([]byte("signature"))
	header := "v1," + base64.StdEncoding.EncodeToString(sum[:])
	build := func() *conceal.Concealer {
		var c conceal.Concealer
		c.AddHeader("authorization", token)
		c.AddKey(secret[:])
		return &c
	}

	for name, text := range map[string]string{
		"TwoBytes":  "ok",
		"ShortJSON": `{"status":"accepted","id":"0198c1d2-7a1b-7c3d-9e4f-5a6b7c8d9e0f"}`,
		"Page1KiB":  strings.Repeat(page, 14)[:1024],
		"JSON1KiB":  strings.Repeat(`{"error":"not found","path":"\/hooks\/1","n":12345},`, 21)[:1024],
		"Base64":    strings.Repeat("YWJjZGVmZ2hpamtsbW5vcA", 48)[:1024],
		"Echo":      "authorization: " + token + strings.Repeat("\r\nx-forwarded-for: 192.0.2.1", 34),
	} {
		b.Run(name, func(b *testing.B) {
			c, body := build(), []byte(text)
			b.ReportAllocs()
			for b.Loop() {
				c.Answer(header)("", body, true)
			}
		})
	}
	b.Run("Build", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			build()
		}
	})
}

// BenchmarkHostile is what an endpoint's owner can do at most: 20 headers, and an answer that resembles all of them.
func BenchmarkHostile(b *testing.B) {
	for name, text := range map[string]string{
		"Repeats":  strings.Repeat("a", 17<<10),
		"Nested":   strings.Repeat("JTQxJTQxJTQx", 17<<10/12),
		"Escapes":  strings.Repeat("%25", 17<<10/3),
		"Slashes":  strings.Repeat(`\`, 17<<10),
		"Hyphens":  strings.Repeat("-", 17<<10),
		"Entities": strings.Repeat("&amp;", 17<<10/5),
		"Digits":   strings.Repeat("61", 17<<9),
	} {
		b.Run(name, func(b *testing.B) {
			var c conceal.Concealer
			for i := range 10 {
				c.AddHeader("x", strings.Repeat("a", 150+i)+"b")
				c.AddHeader(strings.Repeat("-", i+1), "-----x")
			}
			c.AddKey(key())
			cut := c.Answer("")
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				cut("", []byte(text), false)
			}
		})
	}
}
