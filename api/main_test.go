package api_test

import (
	"flag"
	"testing"

	"github.com/outhook/outhook/internal/dbtest"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

func TestMain(m *testing.M) {
	flag.Parse()
	dbtest.Main(m)
}
