package outhook_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook"
	"github.com/outhook/outhook/internal/dbtest"
)

// Go and the SQL function have one set of rules: each case goes through both.
func TestRulesAreTheSameInGoAndSQL(t *testing.T) {
	t.Parallel()
	b := setup(t)
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, tc := range []struct {
		name  string
		event outhook.Event
		code  string // the SQLSTATE; "" if the event is valid
	}{
		{name: "Valid", event: event(`{}`)},
		{name: "ScalarPayload", event: event(` "text" `)},
		{name: "NullPayload", event: event(`null`)},
		{name: "HugeNumber", event: event(`1e400`)},
		{name: "DuplicateMembers", event: event(`{"a":1,"a":2}`)},
		{name: "EscapedNUL", event: event(`"\u0000"`)},
		{name: "LoneSurrogate", event: event(`"\ud800"`)},
		{name: "Depth512", event: event(nested(512))},
		{name: "Depth512BesideManyBrackets", event: event("[" + nested(511) + strings.Repeat(",[]", 1000) + "]")},
		{name: "BracketsInStrings", event: event(`"` + strings.Repeat("[", 2000) + `\"[["`)},
		{name: "LargestPayload", event: event(`"` + strings.Repeat("x", outhook.MaxPayloadBytes-2) + `"`)},
		{name: "LongestNames", event: outhook.Event{
			TenantID: strings.Repeat("t", 255), Type: strings.Repeat("a", 255), Payload: json.RawMessage("1"), IdempotencyKey: strings.Repeat("k", 255),
		}},
		{name: "UnicodeTenant", event: outhook.Event{TenantID: "Ünï 中", Type: "A_1.b", Payload: json.RawMessage("1")}},

		{name: "EmptyPayload", event: event(``), code: "22023"},
		{name: "NotJSON", event: event(`{a:1}`), code: "22023"},
		{name: "TwoValues", event: event(`{} {}`), code: "22023"},
		{name: "ControlCharacterInString", event: event("\"\x01\""), code: "22023"},
		{name: "LeadingZero", event: event(`01`), code: "22023"},
		{name: "ByteOrderMark", event: event("\ufeff{}"), code: "22023"},
		{name: "Depth513", event: event(nested(513)), code: "22023"},
		{name: "Depth513OfObjects", event: event(strings.Repeat(`{"a":`, 513) + "1" + strings.Repeat("}", 513)), code: "22023"},
		{name: "Depth100000", event: event(nested(100_000)), code: "22023"},
		{name: "TooLarge", event: event(`"` + strings.Repeat("x", outhook.MaxPayloadBytes-1) + `"`), code: "54000"},
		{name: "NoTenant", event: outhook.Event{Type: "a", Payload: json.RawMessage("1")}, code: "22023"},
		{name: "LongTenant", event: outhook.Event{TenantID: strings.Repeat("t", 256), Type: "a", Payload: json.RawMessage("1")}, code: "22023"},
		{name: "ControlCharacterInTenant", event: outhook.Event{TenantID: "a\nb", Type: "a", Payload: json.RawMessage("1")}, code: "22023"},
		{name: "ReservedTenant", event: outhook.Event{TenantID: "outhook.operator", Type: "a", Payload: json.RawMessage("1")}, code: "22023"},
		{name: "NoType", event: outhook.Event{TenantID: "a", Payload: json.RawMessage("1")}, code: "22023"},
		{name: "TypeWithSpace", event: outhook.Event{TenantID: "a", Type: "a b", Payload: json.RawMessage("1")}, code: "22023"},
		{name: "TypeWithNewline", event: outhook.Event{TenantID: "a", Type: "a\n", Payload: json.RawMessage("1")}, code: "22023"},
		{name: "TypeWithEmptyPart", event: outhook.Event{TenantID: "a", Type: "a..b", Payload: json.RawMessage("1")}, code: "22023"},
		{name: "TypeEndsWithDot", event: outhook.Event{TenantID: "a", Type: "a.", Payload: json.RawMessage("1")}, code: "22023"},
		{name: "TypeWithLetterOutsideASCII", event: outhook.Event{TenantID: "a", Type: "ä", Payload: json.RawMessage("1")}, code: "22023"},
		{name: "LongType", event: outhook.Event{TenantID: "a", Type: strings.Repeat("a", 256), Payload: json.RawMessage("1")}, code: "22023"},
		{name: "ReservedType", event: outhook.Event{TenantID: "a", Type: "outhook.test", Payload: json.RawMessage("1")}, code: "22023"},
		{name: "LongKey", event: keyed("1", strings.Repeat("k", 256)), code: "22023"},
		{name: "ControlCharacterInKey", event: keyed("1", "a\x7f"), code: "22023"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			err := tc.event.Validate()
			_, sqlErr := b.pool.Exec(b.ctx, `SELECT outhook.enqueue($1, $2, $3::text, $4)`,
				tc.event.TenantID, tc.event.Type, string(tc.event.Payload), tc.event.IdempotencyKey)
			if tc.code == "" {
				require.NoError(t, err)
				require.NoError(t, sqlErr)
				return
			}
			require.ErrorIs(t, err, outhook.ErrInvalidEvent)
			require.Equal(t, tc.code == "54000", errors.Is(err, outhook.ErrPayloadTooLarge))
			var pgErr *pgconn.PgError
			require.ErrorAs(t, sqlErr, &pgErr)
			require.Equal(t, tc.code, pgErr.Code, pgErr.Message)
			require.Contains(t, pgErr.Message, "event 0: ")
		})
	}
}

func TestErrorsNeverRepeatTheValue(t *testing.T) {
	t.Parallel()
	const marker = "s3cr3t"
	for _, e := range []outhook.Event{
		{TenantID: marker + "\n", Type: "a", Payload: json.RawMessage("1")},
		{TenantID: "a", Type: marker + " ", Payload: json.RawMessage("1")},
		{TenantID: "a", Type: "a", Payload: json.RawMessage(marker)},
		{TenantID: "a", Type: "a", Payload: json.RawMessage("1"), IdempotencyKey: marker + "\n"},
	} {
		err := e.Validate()
		require.ErrorIs(t, err, outhook.ErrInvalidEvent)
		require.NotContains(t, err.Error(), marker)
	}
}

// FuzzPayload: Go and Postgres agree on what is a valid payload, and Postgres keeps its bytes.
func FuzzPayload(f *testing.F) {
	for _, s := range []string{`{}`, `"\ud800"`, `"\u0000"`, "\t1\r\n", `-0`, `1E+2`, `.5`, `"\x"`, "\x00", "\x91", `{"a":1,}`, "\ufeff1", `"` + "\x7f" + `"`} {
		f.Add(s)
	}
	pool := dbtest.New(f)
	f.Fuzz(func(t *testing.T, payload string) {
		if !json.Valid([]byte(payload)) && strings.ContainsRune(payload, 0) {
			return // Postgres' text can't hold it, and Go refuses it
		}
		err := event(payload).Validate()
		var stored string
		sqlErr := pool.QueryRow(t.Context(), `SELECT (outhook.parse_payloads(ARRAY[$1]))[1]::text`, payload).Scan(&stored)
		if err != nil {
			if errors.Is(err, outhook.ErrPayloadTooLarge) || payload == "" {
				return
			}
			var pgErr *pgconn.PgError
			require.ErrorAs(t, sqlErr, &pgErr)
			want := "22023"
			if !utf8.ValidString(payload) {
				want = "22021" // of Postgres itself: the function is not even called
			}
			require.Equal(t, want, pgErr.Code)
			return
		}
		require.NoError(t, sqlErr)
		require.Equal(t, payload, stored)
	})
}

func BenchmarkValidate(b *testing.B) {
	e := event(`{"text": "` + strings.Repeat("x", 1000) + `", "list": [1, 2, {"a": null}]}`)
	for b.Loop() {
		if err := e.Validate(); err != nil {
			b.Fatal(err)
		}
	}
}
