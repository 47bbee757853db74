package signature

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// sealedHeader is a request header's value as it is stored.
type sealedHeader struct {
	KeyID  string `json:"key_id"`
	Sealed []byte `json:"sealed"`
}

// SealHeaders encrypts the values of request headers and returns what is stored: a JSON object of names in lower case,
// each with an object of key_id and sealed (the base64 of what [Keyring.Seal] returns). Associated data is owner, the
// endpoint's id, followed by the name, so that no value can be moved to another name or endpoint.
func (k *Keyring) SealHeaders(headers map[string]string, owner []byte) (json.RawMessage, error) {
	stored := make(map[string]sealedHeader, len(headers))
	for name, value := range headers {
		name = strings.ToLower(name)
		keyID, sealed := k.Seal([]byte(value), headerData(owner, name))
		stored[name] = sealedHeader{keyID, sealed}
	}

	data, err := json.Marshal(stored)
	if err != nil {
		return nil, fmt.Errorf("encoding sealed headers: %w", err)
	}
	return data, nil
}

// OpenHeaders decrypts what [Keyring.SealHeaders] made. Returns ErrUnknownKey, or ErrDecrypt.
func (k *Keyring) OpenHeaders(stored json.RawMessage, owner []byte) (map[string]string, error) {
	var sealed map[string]sealedHeader
	if err := json.Unmarshal(stored, &sealed); err != nil {
		return nil, fmt.Errorf("reading sealed headers: %w", err)
	}

	headers := make(map[string]string, len(sealed))
	for name, s := range sealed {
		value, err := k.Open(s.KeyID, s.Sealed, headerData(owner, name))
		if err != nil {
			return nil, fmt.Errorf("opening the header %s: %w", name, err)
		}
		headers[name] = string(value)
	}

	return headers, nil
}

// HeaderKeys returns the ids of the keys that sealed stored headers, each once, and the names of these headers, both
// sorted. It needs no key.
func HeaderKeys(stored json.RawMessage) (keyIDs, names []string, err error) {
	var sealed map[string]sealedHeader
	if err := json.Unmarshal(stored, &sealed); err != nil {
		return nil, nil, fmt.Errorf("reading sealed headers: %w", err)
	}

	names = make([]string, 0, len(sealed))
	for name, s := range sealed {
		keyIDs, names = append(keyIDs, s.KeyID), append(names, name)
	}

	slices.Sort(keyIDs)
	slices.Sort(names)
	return slices.Compact(keyIDs), names, nil
}

func headerData(owner []byte, name string) []byte {
	return append(slices.Clone(owner), "header "+name...)
}
