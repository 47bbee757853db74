// Package operation replays many deliveries in the background: operation.go takes the orders of people (recover,
// replay, pause, resume, cancel), preview.go counts what an order would do, turn.go gives the operations that run their
// turns, operate.go is what one does in its turn.
package operation
