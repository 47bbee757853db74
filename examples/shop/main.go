// Command shop is a whole application around Outhook, small enough to be read in one sitting. It takes orders over HTTP
// and stores each together with its event, in one transaction, and it receives the webhooks of its own orders: it
// verifies their signatures and handles each once. README.md says how to run it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/outhook/outhook"
)

// schema is the application's own. Outhook's tables are beside it, in a schema of theirs.
const schema = `CREATE TABLE IF NOT EXISTS orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	item text NOT NULL, amount bigint NOT NULL, confirmed boolean NOT NULL DEFAULT false);
CREATE TABLE IF NOT EXISTS handled_webhooks (id text PRIMARY KEY)`

// orderPlaced is told of each order, which is its data.
//
//nolint:gochecknoglobals // event types are declared once
var orderPlaced = outhook.Define[outhook.Envelope[json.RawMessage]]("order.placed")

// errDeclined is what the bank says to amounts above 10,000.
var errDeclined = errors.New("the payment was declined")

type order struct {
	Item   string `json:"item"`
	Amount int64  `json:"amount"`
}

type shop struct {
	pool     *pgxpool.Pool
	verifier *standardwebhooks.Webhook
	logger   *slog.Logger
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Getenv, slog.New(slog.NewTextHandler(os.Stdout, nil))); err != nil {
		fmt.Fprintln(os.Stderr, "shop:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, getenv func(string) string, logger *slog.Logger) error {
	verifier, err := standardwebhooks.NewWebhook(getenv("WEBHOOK_SECRET"))
	if err != nil {
		return fmt.Errorf("reading WEBHOOK_SECRET: %w", err)
	}
	pool, err := pgxpool.New(ctx, getenv("DATABASE_URL"))
	if err != nil {
		return fmt.Errorf("reading DATABASE_URL: %w", err)
	}
	defer pool.Close()
	if _, err := pool.Exec(ctx, schema); err != nil {
		return fmt.Errorf("creating the tables: %w", err)
	}

	s := &shop{pool, verifier, logger}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders", s.order)
	mux.HandleFunc("POST /webhooks", s.receive)
	server := &http.Server{Handler: mux, ReadTimeout: 10 * time.Second}

	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", getenv("SHOP_LISTEN"))
	if err != nil {
		return fmt.Errorf("listening on SHOP_LISTEN: %w", err)
	}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	logger.InfoContext(ctx, "the shop is open", slog.String("address", l.Addr().String()))
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// order takes an order: its row, the event and the event's deliveries exist together or not at all.
func (s *shop) order(w http.ResponseWriter, r *http.Request) {
	ctx, o := r.Context(), order{}
	if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return place(ctx, tx, o) })
	s.answer(w, r, http.StatusCreated, err)
}

func place(ctx context.Context, tx pgx.Tx, o order) error {
	const insert = "INSERT INTO orders (item, amount) VALUES ($1, $2) RETURNING row_to_json(orders), now()"
	placed := outhook.Envelope[json.RawMessage]{}
	if err := tx.QueryRow(ctx, insert, o.Item, o.Amount).Scan(&placed.Data, &placed.Timestamp); err != nil {
		return err
	}
	if _, err := orderPlaced.Enqueue(ctx, tx, "shop", placed); err != nil {
		return err
	}

	// An error from here on takes the order and its event back together: nothing is sent.
	if o.Amount > 10_000 {
		return errDeclined
	}
	return nil
}

// receive handles a webhook once: its id is kept in the transaction that does the work, which takes a moment. Work that
// takes longer belongs behind the answer: docs/receiving.md has receivers with an inbox.
func (s *shop) receive(w http.ResponseWriter, r *http.Request) {
	ctx, id := r.Context(), r.Header.Get("webhook-id")
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, outhook.MaxPayloadBytes))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	if err != nil || s.verifier.Verify(body, r.Header) != nil {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}

	// The type in the body is signed, that of the header is not.
	webhook := outhook.Envelope[json.RawMessage]{}
	if err := json.Unmarshal(body, &webhook); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}

	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, "INSERT INTO handled_webhooks (id) VALUES ($1) ON CONFLICT DO NOTHING", id)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		s.logger.InfoContext(ctx, "webhook received", slog.String("id", id), slog.String("body", string(body)))
		if webhook.Type != orderPlaced.Type() {
			return nil
		}
		const confirm = "UPDATE orders SET confirmed = true WHERE id = ($1::json->>'id')::bigint"
		_, err = tx.Exec(ctx, confirm, string(webhook.Data))
		return err
	})
	s.answer(w, r, http.StatusNoContent, err)
}

// answer ends a request. To Outhook any status but 2xx means that it sends the webhook again.
func (s *shop) answer(w http.ResponseWriter, r *http.Request, success int, err error) {
	switch {
	case errors.Is(err, errDeclined):
		http.Error(w, err.Error(), http.StatusPaymentRequired)
	case err != nil:
		s.logger.ErrorContext(r.Context(), "handling a request", slog.Any("error", err))
		http.Error(w, "internal error", http.StatusInternalServerError)
	default:
		w.WriteHeader(success)
	}
}
