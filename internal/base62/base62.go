// Package base62 writes bytes with digits and letters alone: what an id is made of that stands in addresses.
package base62

import (
	"math"
	"math/big"
	"strings"
)

// Digits returns how many digits so many bytes take.
func Digits(size int) int { return int(math.Ceil(float64(8*size) / math.Log2(62))) }

// Encode writes bytes with as many digits as their number takes. The digits have the order of ASCII, so that texts of
// one size have the order of the bytes.
func Encode(raw []byte) string {
	text := swapCase(new(big.Int).SetBytes(raw).Text(62))
	return strings.Repeat("0", Digits(len(raw))-len(text)) + text
}

// Decode reads what Encode has written of so many bytes. ok is false for any other text.
func Decode(text string, size int) (raw []byte, ok bool) {
	if len(text) != Digits(size) || strings.ContainsAny(text, "+-_") { // which math/big reads, too
		return nil, false
	}
	n, ok := new(big.Int).SetString(swapCase(text), 62)
	if !ok || n.BitLen() > 8*size {
		return nil, false
	}
	return n.FillBytes(make([]byte, size)), true
}

// swapCase makes digits of math/big, which has small letters first, ours, and the other way round.
func swapCase(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		case 'A' <= r && r <= 'Z':
			return r - 'A' + 'a'
		}
		return r
	}, text)
}
