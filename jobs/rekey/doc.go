// Package rekey encrypts what is stored encrypted (endpoint secrets and secret headers) with the current key.
package rekey
