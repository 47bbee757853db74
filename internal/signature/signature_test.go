package signature_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/signature"
)

const tolerance = 5 * time.Minute

// vector is a published signature, read from a golden file of "name: value" lines.
type vector map[string]string

func readVector(t testing.TB, path string) vector {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	v := vector{}
	for line := range strings.Lines(string(content)) {
		if name, value, found := strings.Cut(strings.TrimSuffix(line, "\n"), ": "); found && line[0] != '#' {
			v[name] = value
		}
	}
	require.Len(t, v, 5)
	return v
}

func (v vector) at(t testing.TB) time.Time {
	t.Helper()
	seconds, err := strconv.ParseInt(v["timestamp"], 10, 64)
	require.NoError(t, err)
	return time.Unix(seconds, 0)
}

func (v vector) header() http.Header {
	return webhookHeader(v["id"], v["timestamp"], v["signature"])
}

func webhookHeader(id, timestamp, signatures string) http.Header {
	h := http.Header{}
	h.Set(signature.HeaderID, id)
	h.Set(signature.HeaderTimestamp, timestamp)
	h.Set(signature.HeaderSignature, signatures)
	return h
}

func parseSecret(t testing.TB, s string) signature.Secret {
	t.Helper()
	secret, err := signature.ParseSecret(s)
	require.NoError(t, err)
	return secret
}

// libraryWebhook is the reference implementation with the same secret.
func libraryWebhook(t testing.TB, s signature.Secret) *standardwebhooks.Webhook {
	t.Helper()
	wh, err := standardwebhooks.NewWebhook(s.Reveal())
	require.NoError(t, err)
	return wh
}

func TestSignReproducesPublishedVector(t *testing.T) {
	t.Parallel()
	v := readVector(t, "testdata/signature.golden")
	got, err := signature.Sign([]signature.Secret{parseSecret(t, v["secret"])}, v["id"], v.at(t), []byte(v["payload"]))
	require.NoError(t, err)
	require.Equal(t, v["signature"], got)
}

func TestVerifyAcceptsPublishedVector(t *testing.T) {
	t.Parallel()
	v := readVector(t, "testdata/signature.golden")
	secrets := []signature.Secret{parseSecret(t, v["secret"])}
	require.NoError(t, signature.Verify(secrets, v.header(), []byte(v["payload"]), v.at(t), tolerance))
}

func TestLibraryVerifiesOurSignature(t *testing.T) {
	t.Parallel()
	secret, payload, at := signature.NewSecret(), []byte(`{"a":"\u0000 é"}`), time.Now()
	signatures, err := signature.Sign([]signature.Secret{secret}, "evt_1", at, payload)
	require.NoError(t, err)
	h := webhookHeader("evt_1", strconv.FormatInt(at.Unix(), 10), signatures)
	require.NoError(t, libraryWebhook(t, secret).Verify(payload, h))
}

func TestSecretsOfEveryAllowedLengthInteroperate(t *testing.T) {
	t.Parallel()
	for n := 24; n <= 64; n++ {
		secret, err := signature.SecretFromBytes(bytes.Repeat([]byte{byte(n)}, n))
		require.NoError(t, err)
		ours, err := signature.Sign([]signature.Secret{secret}, "evt_1", time.Unix(1, 0), []byte("{}"))
		require.NoError(t, err)
		theirs, err := libraryWebhook(t, secret).Sign("evt_1", time.Unix(1, 0), []byte("{}"))
		require.NoError(t, err)
		require.Equal(t, theirs, ours)
	}
}

func TestRotationIsVerifiedByOldAndNewSecret(t *testing.T) {
	t.Parallel()
	newer, older, other := signature.NewSecret(), signature.NewSecret(), signature.NewSecret()
	at, payload := time.Unix(1_700_000_000, 0), []byte(`{"n":1}`)
	signatures, err := signature.Sign([]signature.Secret{newer, older}, "evt_1", at, payload)
	require.NoError(t, err)

	first, err := signature.Sign([]signature.Secret{newer}, "evt_1", at, payload)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(signatures, first+" v1,"), "the newest secret signs first")

	h := webhookHeader("evt_1", "1700000000", signatures)
	for _, secret := range []signature.Secret{newer, older} {
		require.NoError(t, signature.Verify([]signature.Secret{secret}, h, payload, at, tolerance))
		require.NoError(t, libraryWebhook(t, secret).VerifyIgnoringTimestamp(payload, h))
	}
	require.NoError(t, signature.Verify([]signature.Secret{other, older}, h, payload, at, tolerance))
	require.ErrorIs(t, signature.Verify([]signature.Secret{other}, h, payload, at, tolerance), signature.ErrNoMatch)
}

func TestSignRefusesWhatItCannotSign(t *testing.T) {
	t.Parallel()
	good := []signature.Secret{signature.NewSecret()}
	cases := map[string]struct {
		secrets []signature.Secret
		id      string
		want    error
	}{
		"NoSecrets":        {nil, "evt_1", signature.ErrNoSecret},
		"ZeroSecret":       {[]signature.Secret{good[0], {}}, "evt_1", signature.ErrInvalidSecret},
		"EmptyID":          {good, "", signature.ErrInvalidID},
		"FullStopInID":     {good, "evt.1", signature.ErrInvalidID},
		"SpaceInID":        {good, "evt 1", signature.ErrInvalidID},
		"LineBreakInID":    {good, "evt\n1", signature.ErrInvalidID},
		"NonASCIIInID":     {good, "evté", signature.ErrInvalidID},
		"DeleteByteInID":   {good, "evt\x7f", signature.ErrInvalidID},
		"IDOver256Bytes":   {good, strings.Repeat("x", 257), signature.ErrInvalidID},
		"IDOf256BytesIsOK": {good, strings.Repeat("x", 256), nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := signature.Sign(c.secrets, c.id, time.Unix(1, 0), nil)
			require.ErrorIs(t, err, c.want)
			require.Equal(t, c.want == nil, got != "")
		})
	}
}

func TestVerifyTellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	v := readVector(t, "testdata/signature.golden")
	secrets, at := []signature.Secret{parseSecret(t, v["secret"])}, v.at(t)
	cases := map[string]struct {
		change func(http.Header)
		now    time.Time
		want   error
	}{
		"NoID":               {func(h http.Header) { h.Del(signature.HeaderID) }, at, signature.ErrMissingHeader},
		"NoTimestamp":        {func(h http.Header) { h.Del(signature.HeaderTimestamp) }, at, signature.ErrMissingHeader},
		"NoSignature":        {func(h http.Header) { h.Del(signature.HeaderSignature) }, at, signature.ErrMissingHeader},
		"ExactlyTolerance":   {func(http.Header) {}, at.Add(tolerance), nil},
		"TooOld":             {func(http.Header) {}, at.Add(tolerance + time.Second), signature.ErrTimestampOutside},
		"ExactlyTooEarly":    {func(http.Header) {}, at.Add(-tolerance), nil},
		"TooNew":             {func(http.Header) {}, at.Add(-tolerance - time.Second), signature.ErrTimestampOutside},
		"TimestampNoNumber":  {set(signature.HeaderTimestamp, "now"), at, signature.ErrTimestampOutside},
		"TimestampWithPlus":  {set(signature.HeaderTimestamp, "+1614265330"), at, signature.ErrTimestampOutside},
		"TimestampWithZero":  {set(signature.HeaderTimestamp, "01614265330"), at, signature.ErrTimestampOutside},
		"TimestampFarFuture": {set(signature.HeaderTimestamp, "9223372036854775807"), at, signature.ErrTimestampOutside},
		"TimestampFarPast":   {set(signature.HeaderTimestamp, "-9223372036854775808"), at, signature.ErrTimestampOutside},
		"OtherID":            {set(signature.HeaderID, "msg_other"), at, signature.ErrNoMatch},
		"FullStopInID":       {set(signature.HeaderID, "msg.1"), at, signature.ErrInvalidID},
		"OtherVersionOnly":   {set(signature.HeaderSignature, "v2"+v["signature"][2:]), at, signature.ErrNoMatch},
		"OtherVersionFirst":  {set(signature.HeaderSignature, "v1a,AAAA "+v["signature"]), at, nil},
		"TextBehind":         {set(signature.HeaderSignature, v["signature"]+",x"), at, signature.ErrNoMatch},
		"EmptySignature":     {set(signature.HeaderSignature, "v1,"), at, signature.ErrNoMatch},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := v.header()
			c.change(h)
			require.ErrorIs(t, signature.Verify(secrets, h, []byte(v["payload"]), c.now, tolerance), c.want)
		})
	}
}

func set(name, value string) func(http.Header) {
	return func(h http.Header) { h.Set(name, value) }
}

func TestMissingHeaderIsNamed(t *testing.T) {
	t.Parallel()
	h := webhookHeader("evt_1", "1", "v1,x")
	h.Del(signature.HeaderTimestamp)
	err := signature.Verify([]signature.Secret{signature.NewSecret()}, h, nil, time.Now(), tolerance)
	require.EqualError(t, err, "missing header: webhook-timestamp")
}

// FuzzVerify signs, lets the library be the oracle, then changes one byte of one part: nothing may verify any more.
func FuzzVerify(f *testing.F) {
	f.Add([]byte("0123456789abcdef01234567"), "msg_1", int64(1614265330), []byte(`{"test": 2432232314}`), uint8(0), uint16(0), byte('x'))
	f.Add([]byte("0123456789abcdef01234567"), "msg_1", int64(1614265330), []byte("1.2.3"), uint8(1), uint16(3), byte('.'))
	f.Add(bytes.Repeat([]byte{0}, 64), "a", int64(0), []byte{0, 0xff}, uint8(2), uint16(1), byte(0))
	f.Add(bytes.Repeat([]byte{7}, 32), "~!", int64(-62135596800), []byte{}, uint8(3), uint16(5), byte(' '))
	f.Add(bytes.Repeat([]byte{9}, 33), "a.1", int64(1), []byte("{}"), uint8(3), uint16(46), byte('='))
	f.Fuzz(func(t *testing.T, raw []byte, id string, seconds int64, payload []byte, part uint8, at uint16, to byte) {
		secret, err := signature.SecretFromBytes(raw)
		if err != nil {
			require.True(t, len(raw) < 24 || len(raw) > 64)
			return
		}
		secrets, now := []signature.Secret{secret}, time.Unix(seconds, 0)
		signatures, err := signature.Sign(secrets, id, now, payload)
		if err != nil {
			require.ErrorIs(t, err, signature.ErrInvalidID)
			return
		}
		require.NotContains(t, id, ".")
		parts := [][]byte{[]byte(id), strconv.AppendInt(nil, seconds, 10), bytes.Clone(payload), []byte(signatures)}
		require.NoError(t, verifyParts(secrets, parts, now))
		require.NoError(t, libraryWebhook(t, secret).VerifyIgnoringTimestamp(payload, partsHeader(parts)))

		changed := parts[int(part)%len(parts)]
		if len(changed) == 0 || changed[int(at)%len(changed)] == to {
			return
		}
		changed[int(at)%len(changed)] = to
		require.Error(t, verifyParts(secrets, parts, now))
	})
}

func partsHeader(parts [][]byte) http.Header {
	return webhookHeader(string(parts[0]), string(parts[1]), string(parts[3]))
}

func verifyParts(secrets []signature.Secret, parts [][]byte, now time.Time) error {
	return signature.Verify(secrets, partsHeader(parts), parts[2], now, 1<<62)
}

// BenchmarkSign compares Sign with the library, which formats and copies the payload.
func BenchmarkSign(b *testing.B) {
	const id = "0198c0de-0000-7000-8000-000000000000"
	secret, at := signature.NewSecret(), time.Now()
	secrets, library := []signature.Secret{secret}, libraryWebhook(b, secret)

	for _, size := range []int{1 << 10, 64 << 10} {
		payload := bytes.Repeat([]byte("x"), size)
		for name, sign := range map[string]func() (string, error){
			"Sign":    func() (string, error) { return signature.Sign(secrets, id, at, payload) },
			"Library": func() (string, error) { return library.Sign(id, at, payload) },
		} {
			b.Run(fmt.Sprintf("%s/%dKiB", name, size>>10), func(b *testing.B) {
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := sign(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// The library is the oracle, and Sign must not do what it does: copy the payload.
func TestSignIsTheLibrarysWithoutACopyOfThePayload(t *testing.T) { //nolint:paralleltest // it reads the process's memory
	secrets, at := []signature.Secret{signature.NewSecret(), signature.NewSecret()}, time.Now()
	payload := bytes.Repeat([]byte("%s é\x00."), 100_000)
	got, err := signature.Sign(secrets, "evt_1", at, payload)
	require.NoError(t, err)

	var want []string
	for _, s := range secrets {
		one, err := libraryWebhook(t, s).Sign("evt_1", at, payload)
		require.NoError(t, err)
		want = append(want, one)
	}
	require.Equal(t, strings.Join(want, " "), got)

	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = signature.Sign(secrets, "evt_1", at, payload)
	runtime.ReadMemStats(&after)
	require.NoError(t, err)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(len(payload)))
}
