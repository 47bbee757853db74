package pg

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// SideSettings keep the session alive while it is idle, and end it within 11 s when the machine at its other end
// has vanished (with the default, after two hours). No statement of this session waits for long, or is worth compiling.
const SideSettings = `SET statement_timeout = 3000;
		SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3`

// SideConn configures a connection beside the pool, which pg_stat_activity shows under a name of its own.
func SideConn(pool *pgxpool.Pool, what string) *pgx.ConnConfig {
	conn := pool.Config().ConnConfig.Copy()
	if name := conn.RuntimeParams["application_name"]; name != "" {
		conn.RuntimeParams["application_name"] = name + " " + what
	}
	return conn
}

// CloseSide ends the session. There is nobody to tell if that fails: the database notices by itself.
func CloseSide(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}
