// Package apikey makes API keys: their text, and what the table api_keys holds of them.
//
// A [Spec] is what a key is to be, whoever asks for it: the API or the command line. [New] makes the text, which is
// shown once, and its hash, which is stored. [Plausible] sorts out what can't be a key before the database is asked.
package apikey

import (
	"crypto/rand"
	"crypto/sha256"
	"hash/crc32"
	"math/big"
)

// SessionCookie is the cookie that holds the key of a session in a browser. With this prefix it is this host's alone,
// and sent over TLS alone, or to the browser's own machine.
const SessionCookie = "__Host-outhook-console"

const (
	keyPrefix     = "ohk_"
	sessionPrefix = "ohs_"
	codePrefix    = "ohc_"
	prefixBytes   = 4

	// 62^43 is the first power of 62 above 2^256, and 62^6 the first above 2^32.
	secretDigits   = 43
	checksumDigits = 6

	base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// New returns a fresh API key and its hash, which is what the table api_keys holds. A key is "ohk_", 43 base62
// digits of 32 bytes from crypto/rand and 6 base62 digits of the CRC-32 (IEEE) of all that stands before them: 53
// bytes, which scanners for leaked credentials can tell from other text.
func New() (key string, hash []byte) { return newText(keyPrefix) }

// NewSession is New of a session's key, which begins with "ohs_".
func NewSession() (key string, hash []byte) { return newText(sessionPrefix) }

// NewCode is New of a code that a session is made with, once, which begins with "ohc_".
func NewCode() (code string, hash []byte) { return newText(codePrefix) }

func newText(prefix string) (key string, hash []byte) {
	secret := make([]byte, 32)
	rand.Read(secret) // never returns an error: crypto/rand ends the process instead
	key = prefix + toBase62(new(big.Int).SetBytes(secret), secretDigits)
	key += checksum(key)
	return key, Hash(key)
}

// Hash returns the SHA-256 of a key's text. A key has 256 random bits, so a plain hash is enough.
func Hash(key string) []byte {
	sum := sha256.Sum256([]byte(key))
	return sum[:]
}

// Plausible tells whether [New], [NewSession] or [NewCode] may have made a key, so that typing errors and guesses cost
// no query.
func Plausible(key string) bool {
	const size = prefixBytes + secretDigits
	if len(key) != size+checksumDigits || checksum(key[:size]) != key[size:] {
		return false
	}
	switch key[:prefixBytes] {
	case keyPrefix, sessionPrefix, codePrefix:
		return true
	}
	return false
}

func checksum(text string) string {
	return toBase62(new(big.Int).SetUint64(uint64(crc32.ChecksumIEEE([]byte(text)))), checksumDigits)
}

// toBase62 writes n with a fixed number of digits. It changes n.
func toBase62(n *big.Int, digits int) string {
	text := make([]byte, digits)
	base, digit := big.NewInt(int64(len(base62))), new(big.Int)
	for i := digits - 1; i >= 0; i-- {
		n.DivMod(n, base, digit)
		text[i] = base62[digit.Int64()]
	}
	return string(text)
}
