package jobs_test

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/outhook/outhook/internal/dbtest"
)

func TestMain(m *testing.M) {
	code := dbtest.Run(m)
	if code == 0 {
		// A link of toxiproxy that ends while a toxic is added to it now and then leaves the toxic's goroutine behind.
		toxic := goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run")
		if err := goleak.Find(toxic); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}
