package signature

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
)

var (
	// ErrInvalidKeyring is returned for a list of keys that can't be used. Its message never repeats what was given.
	ErrInvalidKeyring = errors.New("invalid encryption keys: write a comma-separated list of keys of 32 bytes in " +
		"padded standard base64, the one that encrypts first; generate one with `openssl rand -base64 32`")
	// ErrUnknownKey is returned by [Keyring.Open] when the key that sealed is not in the keyring; the error names
	// the key's id.
	ErrUnknownKey = errors.New("the encryption key is not in the keyring; add it again behind the first key")
	// ErrDecrypt is returned by [Keyring.Open] when the sealed bytes or the associated data are not those of
	// [Keyring.Seal].
	ErrDecrypt = errors.New("decrypting: the sealed bytes or what they belong to were changed")
)

// keyBytes is the size of an AES-256 key.
const keyBytes = 32

// Keyring encrypts at rest with AES-256-GCM. The first key encrypts, all decrypt: to rotate, put a new key in front
// and keep the old one until nothing is sealed with it.
//
// A Keyring is safe for concurrent use, and prints as "[redacted]". One key may seal at most 2^32 times
// (NIST SP 800-38D, section 8.3: random nonces).
type Keyring struct{ keys *atomic.Pointer[keys] }

// keys are what a Keyring holds at a time.
type keys struct {
	primary string // id of the key that encrypts
	// Functions for the same reason as in [Secret]: a cipher holds its key.
	ciphers map[string]func() cipher.AEAD
}

// NewKey returns a fresh key in the form that [ParseKeyring] reads: the base64 of 32 bytes from crypto/rand.
func NewKey() string {
	key := make([]byte, keyBytes)
	rand.Read(key) // never returns an error: crypto/rand ends the process instead
	return base64.StdEncoding.EncodeToString(key)
}

// ParseKeyring reads a comma-separated list of keys, each 32 bytes in padded standard base64; spaces around a key are
// ignored. A key's id is the first 8 hex digits of its SHA-256.
//
// Returns ErrInvalidKeyring, which says which key of the list is wrong by its position and never repeats s.
func ParseKeyring(s string) (*Keyring, error) {
	list := &keys{ciphers: map[string]func() cipher.AEAD{}}
	for i, item := range strings.Split(s, ",") {
		if err := list.add(strings.TrimSpace(item)); err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
	}

	k := &Keyring{keys: &atomic.Pointer[keys]{}}
	k.keys.Store(list)
	return k, nil
}

// Replace makes the keys of another keyring this one's, for everybody who holds it.
func (k *Keyring) Replace(other *Keyring) { k.keys.Store(other.keys.Load()) }

func (k *keys) add(encoded string) error {
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(key) != keyBytes {
		return ErrInvalidKeyring
	}

	id := idOf(key)
	if _, found := k.ciphers[id]; found {
		return fmt.Errorf("two keys have the id %s: %w", id, ErrInvalidKeyring)
	}

	aead, err := newCipher(key)
	if err != nil {
		return err
	}

	k.ciphers[id] = func() cipher.AEAD { return aead }
	if k.primary == "" {
		k.primary = id
	}
	return nil
}

func idOf(key []byte) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:4])
}

func newCipher(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("making an AES cipher: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("making an AES-GCM cipher: %w", err)
	}
	return aead, nil
}

// Seal encrypts plaintext with the first key and returns that key's id with the sealed bytes: a random nonce of 12
// bytes, the ciphertext, a tag of 16 bytes. Associated data is not stored but must be given again to [Keyring.Open]:
// it ties the sealed bytes to their place, for example a row's key, so that they can't be moved to another.
func (k *Keyring) Seal(plaintext, associated []byte) (keyID string, sealed []byte) {
	now := k.keys.Load()
	sealed = now.ciphers[now.primary]().Seal(nil, nil, plaintext, associated) //nolint:gosec // the cipher draws the nonce
	return now.primary, sealed
}

// KeyID returns the id of the key that encrypts.
func (k *Keyring) KeyID() string { return k.keys.Load().primary }

// KeyIDs returns the ids of all keys, in order.
func (k *Keyring) KeyIDs() []string { return slices.Sorted(maps.Keys(k.keys.Load().ciphers)) }

// Open decrypts what [Keyring.Seal] made. Returns ErrUnknownKey with the key's id, or ErrDecrypt.
func (k *Keyring) Open(keyID string, sealed, associated []byte) ([]byte, error) {
	aead, found := k.keys.Load().ciphers[keyID]
	if !found {
		return nil, fmt.Errorf("key id %q: %w", keyID, ErrUnknownKey)
	}

	plaintext, err := aead().Open(nil, nil, sealed, associated)
	if err != nil {
		return nil, ErrDecrypt
	}
	return plaintext, nil
}

// String returns "[redacted]".
func (k Keyring) String() string { return redacted }

// GoString returns "[redacted]", for %#v.
func (k Keyring) GoString() string { return redacted }

// LogValue returns "[redacted]", for slog.
func (k Keyring) LogValue() slog.Value { return slog.StringValue(redacted) }
