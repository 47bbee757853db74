// Command clock prints what a process believes whose clock is set back by an hour while it runs.
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/outhook/outhook/internal/dbclock"
)

func main() {
	start := time.Now()
	wall := start.Round(0)
	var database dbclock.Clock
	database.Sample(start, start, wall)

	if err := os.WriteFile(os.Getenv("CHAOS_CLOCK"), []byte("-3600"), 0o600); err != nil {
		panic(err)
	}
	back := func() bool { return time.Now().Round(0).Sub(wall) < -30*time.Minute }
	for range time.Tick(10 * time.Millisecond) {
		if back() || time.Since(start) > time.Minute {
			break
		}
	}

	fmt.Println("the wall clock moved:", back())
	fmt.Println("the monotonic one goes on:", time.Since(start) < 30*time.Second)
	fmt.Println("the database's goes on:", database.Now().Sub(wall).Abs() < 30*time.Second)
	fmt.Println("ahead of the wall clock:", database.Offset().Round(time.Minute))
}
