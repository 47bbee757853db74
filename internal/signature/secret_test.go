package signature_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/signature"
)

func encodeSecret(n int) string {
	return "whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0xfb}, n))
}

func TestNewSecretsAreDifferentAndParseBack(t *testing.T) {
	t.Parallel()
	a, b := signature.NewSecret(), signature.NewSecret()
	require.Len(t, a.Bytes(), 32)
	require.NotEqual(t, a.Bytes(), b.Bytes())
	require.Equal(t, a.Bytes(), parseSecret(t, a.Reveal()).Bytes())
}

func TestSecretKeepsItsBytesForItself(t *testing.T) {
	t.Parallel()
	raw := bytes.Repeat([]byte{1}, 32)
	secret, err := signature.SecretFromBytes(raw)
	require.NoError(t, err)
	raw[0] = 2
	secret.Bytes()[1] = 2
	require.Equal(t, bytes.Repeat([]byte{1}, 32), secret.Bytes())
}

func TestParseSecretTakesOnlyWhatEveryLibraryReads(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		text string
		ok   bool
	}{
		"24Bytes":        {encodeSecret(24), true},
		"64Bytes":        {encodeSecret(64), true},
		"23Bytes":        {encodeSecret(23), false},
		"65Bytes":        {encodeSecret(65), false},
		"Empty":          {"", false},
		"PrefixOnly":     {"whsec_", false},
		"NoPrefix":       {strings.TrimPrefix(encodeSecret(32), "whsec_"), false},
		"AsymmetricKey":  {"whsk_" + strings.TrimPrefix(encodeSecret(64), "whsec_"), false},
		"NoPadding":      {strings.TrimRight(encodeSecret(32), "="), false},
		"URLAlphabet":    {strings.ReplaceAll(encodeSecret(32), "+", "-"), false},
		"LineBreak":      {encodeSecret(32)[:20] + "\n" + encodeSecret(32)[20:], false},
		"TrailingSpace":  {encodeSecret(32) + " ", false},
		"StrayBits":      {"whsec_" + strings.Repeat("A", 42) + "B=", false},
		"WithoutStray":   {"whsec_" + strings.Repeat("A", 42) + "A=", true},
		"PlainTextWords": {"whsec_correct horse battery staple", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			secret, err := signature.ParseSecret(c.text)
			if c.ok {
				require.NoError(t, err)
				require.Equal(t, c.text, secret.Reveal())
				return
			}
			require.ErrorIs(t, err, signature.ErrInvalidSecret)
			require.EqualError(t, err, signature.ErrInvalidSecret.Error(), "the message must not hold the input")
			require.Empty(t, secret.Reveal())
			require.Nil(t, secret.Bytes())
		})
	}
}

func TestSecretNeverPrints(t *testing.T) {
	t.Parallel()
	// Printable bytes, so that a leak in any form is seen.
	raw := []byte("correct-horse-battery-staple-1234")
	secret, err := signature.SecretFromBytes(raw)
	require.NoError(t, err)
	type inner struct{ hidden signature.Secret }
	values := map[string]any{
		"Value":           secret,
		"Pointer":         &secret,
		"Slice":           []signature.Secret{secret},
		"Map":             map[string]signature.Secret{"k": secret},
		"ExportedField":   struct{ S signature.Secret }{secret},
		"UnexportedField": inner{secret},
		"NestedPointer":   &struct{ I *inner }{&inner{secret}},
	}
	for name, value := range values {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for form, text := range printed(t, value) {
				requireNoTrace(t, raw, text, form)
			}
		})
	}
}

// printed shows a value in every way by which one may end up in a log.
func printed(t *testing.T, value any) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		texts[verb] = fmt.Sprintf(verb, value)
	}
	marshaled, err := json.Marshal(value)
	require.NoError(t, err)
	texts["json"] = string(marshaled)
	var text, jsonLog bytes.Buffer
	slog.New(slog.NewTextHandler(&text, nil)).Info("m", slog.Any("value", value))
	slog.New(slog.NewJSONHandler(&jsonLog, nil)).Info("m", slog.Any("value", value))
	texts["slog text"], texts["slog json"] = text.String(), jsonLog.String()
	return texts
}

// requireNoTrace looks for the raw bytes, their decimal, hex, Go syntax and base64 forms, and for the first word as
// the AES key schedule holds it.
func requireNoTrace(t *testing.T, raw []byte, text, form string) {
	t.Helper()
	for _, leak := range []string{
		string(raw[:8]),
		fmt.Sprintf("%d %d %d %d", raw[0], raw[1], raw[2], raw[3]),
		fmt.Sprintf("%#x, %#x, %#x, %#x", raw[0], raw[1], raw[2], raw[3]),
		fmt.Sprintf("%x", raw[:4]),
		base64.StdEncoding.EncodeToString(raw[:9]),
		strconv.FormatUint(uint64(binary.BigEndian.Uint32(raw)), 10),
		strconv.FormatUint(uint64(binary.LittleEndian.Uint32(raw)), 10),
	} {
		require.NotContains(t, strings.ToLower(text), strings.ToLower(leak), form)
	}
}

func TestSecretPrintsRedacted(t *testing.T) {
	t.Parallel()
	secret := signature.NewSecret()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		require.Equal(t, "[redacted]", fmt.Sprintf(verb, secret))
	}
	marshaled, err := json.Marshal(map[string]signature.Secret{"secret": secret})
	require.NoError(t, err)
	require.JSONEq(t, `{"secret":"[redacted]"}`, string(marshaled))
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", slog.Any("secret", secret))
	require.Contains(t, log.String(), "secret=[redacted]")
}
