package outhook_test

import (
	"os"
	"testing"

	"github.com/outhook/outhook/internal/dbtest"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Run(m)) }
