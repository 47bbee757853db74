package main

import (
	"fmt"
	"io"

	"github.com/outhook/outhook/api/client"
)

// showPreview says what an operation would do.
func showPreview(w io.Writer, p *client.Preview) {
	least := ""
	if !p.Complete {
		least = "at least "
	}
	fmt.Fprintf(w, "would replay %s%s of %s", least, several(p.ReplayCount, "delivery", "deliveries"),
		several(p.EndpointCount, "endpoint", "endpoints"))
	if p.SkipCount > 0 {
		fmt.Fprintf(w, "; would leave %s%d alone: the endpoint is disabled or deleted, or the payload is gone",
			least, p.SkipCount)
	}
	fmt.Fprintln(w)
}

func several(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprint(n, " ", many)
}
