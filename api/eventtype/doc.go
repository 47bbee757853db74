// Package eventtype is the API's catalogue of event types: what its operations read and write, in the transactions that
// package api gives it, and what holds payloads against schemas before they are stored.
//
// Begin with [Push], which makes the catalogue what a document says, and [Checker].
package eventtype
