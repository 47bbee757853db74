package portal_test

import (
	"testing"

	"github.com/outhook/outhook/internal/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }
