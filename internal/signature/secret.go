package signature

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"log/slog"
	"strings"
)

// ErrInvalidSecret is returned for a secret that can't sign. Its message tells how to make one and never repeats
// what was given.
var ErrInvalidSecret = errors.New("invalid secret: write it as whsec_ followed by the padded standard base64 " +
	"of 24 to 64 random bytes, for example: echo whsec_$(openssl rand -base64 32)")

const (
	secretPrefix = "whsec_"
	redacted     = "[redacted]"

	// Bounds in bytes of a secret: Standard Webhooks 1.0.0, "Signature scheme": "between 24 bytes (192 bits) and
	// 64 bytes (512 bits)".
	minSecretBytes = 24
	maxSecretBytes = 64

	// newSecretBytes is the size of a fresh secret: the output size of SHA-256, beyond which a longer HMAC key adds
	// no strength (RFC 2104, section 3).
	newSecretBytes = 32
)

// Secret signs the payloads of one endpoint: 24 to 64 bytes. It can't leak through a log line: fmt, slog and
// encoding/json all show "[redacted]", and [Secret.Reveal] is the one way to its text.
//
// The zero Secret holds nothing; [Sign] and [Verify] refuse it.
type Secret struct {
	// A function, since fmt calls no methods on a Secret in somebody's unexported field and then walks into all that
	// reflection can reach, through pointers too. Of a function it prints the address.
	key func() []byte
}

// NewSecret returns a fresh secret of 32 bytes from crypto/rand.
func NewSecret() Secret {
	raw := make([]byte, newSecretBytes)
	rand.Read(raw) // never returns an error: crypto/rand ends the process instead
	return newSecret(raw)
}

// ParseSecret reads the text form: "whsec_" and the padded standard base64 of 24 to 64 bytes. Text that receivers'
// libraries could read in another way (line breaks, missing padding, stray bits) is refused.
//
// Returns ErrInvalidSecret, which never repeats s.
func ParseSecret(s string) (Secret, error) {
	encoded, found := strings.CutPrefix(s, secretPrefix)
	if !found {
		return Secret{}, ErrInvalidSecret
	}

	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || base64.StdEncoding.EncodeToString(raw) != encoded {
		return Secret{}, ErrInvalidSecret
	}
	return SecretFromBytes(raw)
}

// SecretFromBytes makes a secret of a copy of b, which must be 24 to 64 bytes long. Returns ErrInvalidSecret if not.
func SecretFromBytes(b []byte) (Secret, error) {
	if len(b) < minSecretBytes || len(b) > maxSecretBytes {
		return Secret{}, ErrInvalidSecret
	}
	return newSecret(bytes.Clone(b)), nil
}

func newSecret(raw []byte) Secret { return Secret{key: func() []byte { return raw }} }

// Bytes returns a copy of the secret's bytes, nil for the zero Secret.
func (s Secret) Bytes() []byte {
	if s.key == nil {
		return nil
	}
	return bytes.Clone(s.key())
}

// Reveal returns the text form that a receiver configures: "whsec_" and padded standard base64, "" for the zero
// Secret.
func (s Secret) Reveal() string {
	if s.key == nil {
		return ""
	}
	return secretPrefix + base64.StdEncoding.EncodeToString(s.key())
}

// String returns "[redacted]".
func (s Secret) String() string { return redacted }

// GoString returns "[redacted]", for %#v.
func (s Secret) GoString() string { return redacted }

// LogValue returns "[redacted]", for slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON returns the JSON string "[redacted]".
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
