package strictjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// Encode encodes v without HTML escapes: what is JSON stays readable.
func Encode(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encoding an answer: %w", err)
	}
	return buf.Bytes(), nil
}

// Write writes v in one piece. huma panics on an error, so that of a client that is gone must not be one.
func Write(w io.Writer, v any) error {
	data, err := Encode(v)
	if err != nil {
		return err
	}
	_, _ = w.Write(data)
	return nil
}
