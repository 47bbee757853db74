package jobs_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/dbtest"
	"github.com/outhook/outhook/internal/signature"
)

// nodeDir holds a receiver in JavaScript; npm ci installs the libraries that it verifies with.
const nodeDir = "testdata/node"

// The verdicts of the libraries.
const (
	verified = "ok"
	noMatch  = "No matching signature found"
	tooOld   = "Message timestamp too old"
	noHeader = "Missing required headers"
)

// by says how the libraries and the plain HMAC judge one request.
type by struct {
	StandardWebhooks string `json:"standardwebhooks"`
	Svix             string `json:"svix"`
	HMAC             string `json:"hmac"`
}

// all is the same verdict of everybody.
func all(verdict string) by { return by{StandardWebhooks: verdict, Svix: verdict, HMAC: verdict} }

// verdict is the JavaScript receiver's answer to one request.
type verdict struct {
	By     by     `json:"verdicts"`
	ID     string `json:"id"`
	Bytes  int    `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// startNode starts the JavaScript receiver and returns its URL. Below each path it verifies with that path's secret.
func startNode(t *testing.T, secrets map[string]signature.Secret, env ...string) string {
	t.Helper()
	node, err := exec.LookPath("node")
	_, missing := os.Stat(filepath.Join(nodeDir, "node_modules", "svix"))
	dbtest.RequireTool(t, "Node, or npm ci in jobs/"+nodeDir+",", err == nil && missing == nil)

	revealed := make(map[string]string)
	for path, secret := range secrets {
		revealed[path] = secret.Reveal()
	}
	config, err := json.Marshal(revealed)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, node, "receiver.mjs")
	cmd.Dir, cmd.Stderr = nodeDir, t.Output()
	cmd.Env = append(append(os.Environ(), "OUTHOOK_TEST_SECRETS="+string(config)), env...)
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	url, readErr := bufio.NewReader(stdout).ReadString('\n')
	t.Cleanup(func() {
		require.NoError(t, stdin.Close())
		require.NoError(t, cmd.Wait())
	})
	require.NoError(t, readErr)
	return strings.TrimSpace(url)
}

// post sends a webhook and returns the JavaScript receiver's verdict. The status must agree with it.
func post(t *testing.T, url string, header http.Header, body []byte) verdict {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	require.NoError(t, err)
	req.Header = header
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}
	res, err := client.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	var v verdict
	require.NoError(t, json.NewDecoder(res.Body).Decode(&v))
	require.Equal(t, v.By == all(verified), res.StatusCode == http.StatusOK)
	require.Equal(t, len(body), v.Bytes)
	return v
}

// capture enqueues an event, waits for its delivery and returns the request.
func (b *testBundle) capture(t *testing.T, endpointID uuid.UUID, payload string) request {
	t.Helper()
	eventID := b.enqueue(t, payload)
	b.awaitState(t, eventID, endpointID, db.DeliveryStateSucceeded)
	got := b.receiver.received()
	return got[len(got)-1]
}

// hurtful are payloads that a JSON library in between would change.
func hurtful() map[string]string {
	const text = `"é e\u0301 é 𝔘𝔫𝔦 😀👩‍👩‍👧 \u2028\u2029` + "\u2028\u2029\u00a0\ufeff\ufffd\uffff\u202e" + `שלום \/ / \" \\ <>&' \u003c \u0000 \ud800 \uD83D\uDE00` + "\x7f" + `"`
	return map[string]string{
		"Text":         `{"text":` + text + `,` + text + `:0}`,
		"Numbers":      `[1e400,-1e400,1E+05,-0,0.0,-0.0,1.10,12345678901234567890123456789,9007199254740993,1e-400,0.1e1]`,
		"DuplicateKey": `{"b":1,"a":2,"b":3,"":4,"":5,"__proto__":6,"constructor":7}`,
		"Whitespace":   "\r\n\t {\t\"a\" \r\n:\n1 ,\r\"b\":[ ]\t,\n\n\"c\" : { } } \t\r\n",
		"DeepArrays":   strings.Repeat("[", 512) + strings.Repeat("]", 512),
		"DeepObjects":  strings.Repeat(`{"a": `, 512) + `"<>&"` + strings.Repeat("}", 512),
		"Largest":      `{"a":"` + strings.Repeat("é😀<", (262144-8)/7) + `"}`,
		"EmptyObject":  `{}`,
		"EmptyArray":   `[]`,
		"EmptyString":  `""`,
		"Null":         `null`,
		"True":         `true`,
		"String":       text,
		"Number":       `-0`,
	}
}

// The published JavaScript libraries verify what the workers send.
func TestInterop(t *testing.T) {
	t.Parallel()

	t.Run("EveryPayloadArrivesByteExactAndVerifies", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, secret := b.endpoint(t, once())
		b.setURL(t, endpointID, startNode(t, map[string]signature.Secret{"/hook": secret})+"/hook")
		payloads := hurtful()
		require.Len(t, payloads["Largest"], 262144)
		events := make(map[string]uuid.UUID)
		for name, payload := range payloads {
			events[name] = b.enqueue(t, payload)
		}
		b.start(t, b.config(t))
		for name, eventID := range events {
			b.await(t, eventID, endpointID, settled)
			attempts := b.attempts(t, eventID)
			require.Len(t, attempts, 1)
			require.NotNil(t, attempts[0].ResponseBody, "%s: %+v", name, attempts[0])
			var v verdict
			require.NoError(t, json.Unmarshal([]byte(*attempts[0].ResponseBody), &v))
			sum := sha256.Sum256([]byte(payloads[name]))
			want := verdict{By: all(verified), ID: eventID.String(), Bytes: len(payloads[name]), SHA256: hex.EncodeToString(sum[:])}
			require.Equal(t, want, v, name)
			require.Equal(t, db.DeliveryStateSucceeded, b.delivery(t, eventID, endpointID).State)
		}
	})

	t.Run("AnAlteredRequestFails", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, secret := b.endpoint(t)
		url := startNode(t, map[string]signature.Secret{"/hook": secret}) + "/hook"
		b.start(t, b.config(t))
		sent := b.capture(t, endpointID, hurtful()["Text"])
		require.Equal(t, all(verified), post(t, url, sent.header, sent.body).By)

		for i := range sent.body {
			for _, bit := range []byte{1, 0x80} {
				body := bytes.Clone(sent.body)
				body[i] ^= bit
				require.Equal(t, all(noMatch), post(t, url, sent.header, body).By, "byte %d of %d", i, len(body))
			}
		}
		require.Equal(t, all(noMatch), post(t, url, sent.header, sent.body[1:]).By)
		require.Equal(t, all(noMatch), post(t, url, sent.header, sent.body[:len(sent.body)-1]).By)
		require.Equal(t, all(noMatch), post(t, url, sent.header, append(bytes.Clone(sent.body), '\n')).By)
		require.Equal(t, all(noMatch), post(t, url, sent.header, nil).By)

		for _, tc := range alteredHeaders(t, sent.header) {
			header := sent.header.Clone()
			header.Set(tc.name, tc.value)
			require.Equal(t, tc.want, post(t, url, header, sent.body).By, "%s: %s", tc.name, tc.value)
		}
		require.Equal(t, all(verified), post(t, url, sent.header, sent.body).By)
	})

	t.Run("AReceiverRefusesAnOldRequest", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, secret := b.endpoint(t)
		b.start(t, b.config(t))
		sent := b.capture(t, endpointID, `{}`)
		at, err := strconv.ParseInt(sent.header.Get(signature.HeaderTimestamp), 10, 64)
		require.NoError(t, err)
		for late, want := range map[int64]string{300: verified, 301: tooOld} {
			url := startNode(t, map[string]signature.Secret{"/hook": secret}, fmt.Sprintf("OUTHOOK_TEST_NOW=%d", at+late))
			require.Equal(t, by{want, want, verified}, post(t, url+"/hook", sent.header, sent.body).By)
		}
	})

	t.Run("DuringARotationTheOldAndTheNewSecretVerify", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		endpointID, oldSecret := b.endpoint(t)
		newSecret := signature.NewSecret()
		url := startNode(t, map[string]signature.Secret{"/old": oldSecret, "/new": newSecret})
		b.start(t, b.config(t))
		check := func(signatures int, byOld, byNew by) {
			t.Helper()
			sent := b.capture(t, endpointID, `{"rotation": "é"}`)
			require.Len(t, strings.Fields(sent.header.Get(signature.HeaderSignature)), signatures)
			require.Equal(t, byOld, post(t, url+"/old", sent.header, sent.body).By)
			require.Equal(t, byNew, post(t, url+"/new", sent.header, sent.body).By)
		}
		check(1, all(verified), all(noMatch))

		b.expireOldest(t, endpointID, time.Hour)
		keyID, sealed := b.keyring.Seal(newSecret.Bytes(), endpointID[:])
		require.NoError(t, db.New().InsertEndpointSecret(b.ctx, b.pool, endpointID, keyID, sealed))
		check(2, all(verified), all(verified))

		b.expireOldest(t, endpointID, 0)
		check(1, all(noMatch), all(verified))
	})

	t.Run("ThePublishedVectorVerifies", func(t *testing.T) {
		t.Parallel()
		// From the tests of the Standard Webhooks libraries.
		const id, body = "msg_p5jXN8AQM9LWM0D4loKWxJek", `{"test": 2432232314}`
		at := time.Unix(1614265330, 0)
		secret, err := signature.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
		require.NoError(t, err)
		value, err := signature.Sign([]signature.Secret{secret}, id, at, []byte(body))
		require.NoError(t, err)
		require.Equal(t, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", value)
		header := http.Header{}
		header.Set(signature.HeaderID, id)
		header.Set(signature.HeaderTimestamp, strconv.FormatInt(at.Unix(), 10))
		header.Set(signature.HeaderSignature, value)
		url := startNode(t, map[string]signature.Secret{"/hook": secret}, fmt.Sprintf("OUTHOOK_TEST_NOW=%d", at.Unix())) + "/hook"
		require.Equal(t, all(verified), post(t, url, header, []byte(body)).By)
		require.Equal(t, all(noMatch), post(t, url, header, []byte(`{"test": 2432232315}`)).By)
	})
}

// alteredHeader is a header with another value than that of the real request, and how it is judged.
type alteredHeader struct {
	name, value string
	want        by
}

func alteredHeaders(t *testing.T, header http.Header) (list []alteredHeader) {
	t.Helper()
	id, value := header.Get(signature.HeaderID), header.Get(signature.HeaderSignature)
	at, err := strconv.ParseInt(header.Get(signature.HeaderTimestamp), 10, 64)
	require.NoError(t, err)
	absent := by{noHeader, noHeader, noMatch}
	for name, changed := range map[string][]string{
		signature.HeaderID:        {flip(id, 0), flip(id, len(id)-1), uuid.NewString()},
		signature.HeaderTimestamp: {strconv.FormatInt(at+1, 10), strconv.FormatInt(at-1, 10)},
		signature.HeaderSignature: {
			flip(value, len("v1,")), flip(value, len(value)-2), value[:len(value)-1], value + "=",
			"v2" + value[2:], strings.TrimPrefix(value, "v1,"), "v1,",
		},
	} {
		for _, v := range changed {
			list = append(list, alteredHeader{name, v, all(noMatch)})
		}
		list = append(list, alteredHeader{name, "", absent})
	}
	old := strconv.FormatInt(at-3600, 10)
	return append(list, alteredHeader{signature.HeaderTimestamp, old, by{tooOld, tooOld, noMatch}})
}

// flip puts another digit, in hexadecimal as in base64, at one place of a text.
func flip(s string, i int) string {
	digit := "0"
	if s[i] == '0' {
		digit = "1"
	}
	return s[:i] + digit + s[i+1:]
}

func (b *testBundle) setURL(t *testing.T, endpointID uuid.UUID, url string) {
	t.Helper()
	_, err := b.pool.Exec(b.ctx, `UPDATE outhook.endpoints SET url = $2 WHERE id = $1`, endpointID, url)
	require.NoError(t, err)
}

// expireOldest lets an endpoint's oldest secret expire in that time from now, on the database's clock.
func (b *testBundle) expireOldest(t *testing.T, endpointID uuid.UUID, in time.Duration) {
	t.Helper()
	_, err := b.pool.Exec(b.ctx, `UPDATE outhook.endpoint_secrets AS s SET expires_at = now() + $2 WHERE endpoint_id = $1
		AND id = (SELECT min(id) FROM outhook.endpoint_secrets WHERE endpoint_id = $1)`, endpointID, in)
	require.NoError(t, err)
}
