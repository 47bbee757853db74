// Package operation replays many deliveries in the background: operation.go takes the orders of people (recover,
// replay, pause, resume, cancel), operate.go carries them out chunk by chunk.
package operation
