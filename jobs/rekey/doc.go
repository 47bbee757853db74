// Package rekey encrypts what is stored encrypted (endpoint secrets, secret headers and stored answers) with the
// current key, and finds the keys that are missing.
package rekey
