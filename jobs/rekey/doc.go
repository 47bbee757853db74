// Package rekey encrypts what is stored encrypted (endpoint secrets, secret headers and stored answers) with the
// current key.
package rekey
