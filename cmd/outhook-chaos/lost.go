package main

import (
	"bytes"
	"context"
	"sync/atomic"
	"time"

	"github.com/Shopify/toxiproxy/v2/toxics"
)

// toxicLostAnswer is the name of our own toxic.
const toxicLostAnswer = "lost_answer"

// lostAnswer is a toxic that drops one answer on its way from the server and closes the connection that it was on: the
// statement has been carried out, and nobody will ever hear of it. All connections of a wire share it.
type lostAnswer struct {
	Of    int64 `json:"of"` // which of answers
	eaten atomic.Bool
}

// answers are what an answer must have in it to be lost: the end of a transaction, of a statement that wrote, or any.
func answers() []string {
	return []string{"COMMIT\x00", "UPDATE ", "INSERT 0 ", "DELETE ", "SELECT ", ""}
}

// Pipe passes on what comes, but for the one answer.
func (a *lostAnswer) Pipe(stub *toxics.ToxicStub) {
	for {
		select {
		case <-stub.Interrupt:
			return
		case chunk := <-stub.Input:
			if chunk == nil || (a.matches(chunk.Data) && a.eaten.CompareAndSwap(false, true)) {
				stub.Close()
				return
			}
			stub.Output <- chunk
		}
	}
}

func (a *lostAnswer) matches(data []byte) bool {
	of := answers()[a.Of]
	i := bytes.Index(data, []byte(of))
	return i >= 0 && !bytes.HasPrefix(data[i+len(of):], []byte("0\x00")) // which changed nothing
}

// await returns whether an answer was lost in time.
func (a *lostAnswer) await(ctx context.Context) bool {
	for end := time.Now().Add(trapLimit); time.Now().Before(end) && ctx.Err() == nil; wait(ctx, time.Millisecond) {
		if a.eaten.Load() {
			return true
		}
	}
	return a.eaten.Load()
}
