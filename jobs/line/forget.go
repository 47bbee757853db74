package line

import (
	"context"
	"fmt"
	"time"

	"github.com/outhook/outhook/db"
)

// forgetRows is how many lines one call of Forget forgets at most.
const forgetRows = 1000

// Forget forgets some lines that have nothing left and have released nothing for longer than events are kept. What
// comes in such a line later is numbered from 1 again.
func Forget(ctx context.Context, conn db.DBTX, keep time.Duration) error {
	if _, err := db.New().ForgetLines(ctx, conn, keep.Seconds(), forgetRows); err != nil {
		return fmt.Errorf("forgetting old lines: %w", err)
	}
	return nil
}
