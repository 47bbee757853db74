package outhook_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/outhook/outhook"
	"github.com/outhook/outhook/internal/catalog"
)

// guarded makes events of a type be held against the guard of a schema.
func (b *testBundle) guarded(t *testing.T, eventType, schema string) string {
	t.Helper()
	path := catalog.Guard(json.RawMessage(schema))
	b.exec(t, `INSERT INTO outhook.event_types (id, name, title, description, group_name, visibility, flags, enforce, guard, version, webhook, item, components)
		VALUES (outhook.uuid_v7(), $1, '', '', '', 'public', '{}', 'guard', nullif($2, '')::jsonpath, 1, '', '{}', '{}')
		ON CONFLICT (name) DO UPDATE SET guard = excluded.guard`, eventType, path)
	return path
}

// tryEnqueue enqueues events in one call and returns its error.
func (b *testBundle) tryEnqueue(events ...outhook.Event) error {
	return pgx.BeginFunc(b.ctx, b.pool, func(tx pgx.Tx) error {
		_, err := outhook.EnqueueMany(b.ctx, tx, events)
		return err
	})
}

const guardedSchema = `{"$ref":"#/$defs/paid","$defs":{"paid":{"type":"object","required":["id","state"],"properties":{
	"id":{"type":"string"},"amount":{"type":"integer","minimum":1,"exclusiveMaximum":1e3},"state":{"enum":["paid","void",null,1]},
	"customer":{"type":"object","required":["name"],"properties":{"name":{"type":["string","null"]}}},
	"by":{"anyOf":[{"type":"string"},{"type":"object","required":["id"]}]},
	"loose":{"required":["x"],"minimum":5},"v":{"const":"2"}}}}}`

// A guard fails whoever enqueues what breaks it, in whatever way, with a message that repeats nothing of the payload.
func TestGuards(t *testing.T) {
	t.Parallel()
	b := setup(t)
	path := b.guarded(t, "invoice.paid", guardedSchema)
	t.Log(path)
	e := func(payload string) outhook.Event {
		return outhook.Event{TenantID: tenant, Type: "invoice.paid", Payload: json.RawMessage(payload)}
	}
	free := e(`[]`)
	free.Type = "invoice.void"
	for _, payload := range []string{
		`{"id":"1","state":"paid"}`, `{"id":"1","state":null,"amount":1}`, `{"id":"1","state":1.0,"amount":999.0}`,
		`{"id":"1","state":"void","customer":{"name":null},"by":"x","loose":"text","v":"2"}`,
		`{"id":"1","state":"void","by":{"id":1},"loose":{"x":1}}`, `{"id":"1","state":"void","loose":5}`, `{"id":"1","state":"void","loose":[1]}`,
	} {
		require.NoError(t, b.tryEnqueue(e(payload)), payload)
		require.NoError(t, b.tryEnqueue(free, e(payload)), payload)
	}
	for _, payload := range []string{
		`[]`, `null`, `{"id":"secret-1"}`, `{"id":1,"state":"paid"}`, `{"id":"1","state":"gone"}`, `{"id":"1","state":["gone"]}`,
		`{"id":"1","state":"paid","amount":1.5}`, `{"id":"1","state":"paid","amount":0}`, `{"id":"1","state":"paid","amount":1000}`,
		`{"id":"1","state":"paid","amount":[5]}`, `{"id":"1","state":"paid","customer":{}}`, `{"id":"1","state":"paid","customer":[{"name":"x"}]}`,
		`{"id":"1","state":"paid","by":{}}`, `{"id":"1","state":"paid","by":5}`, `{"id":"1","state":"paid","loose":4}`,
		`{"id":"1","state":"paid","loose":{}}`, `{"id":"1","state":"paid","v":2}`,
	} {
		for i, events := range [][]outhook.Event{{e(payload)}, {free, e(payload)}} {
			err := b.tryEnqueue(events...)
			var pgErr *pgconn.PgError
			require.ErrorAs(t, err, &pgErr, payload)
			require.ErrorIs(t, err, outhook.ErrInvalidEvent)
			require.Equal(t, "22023", pgErr.Code)
			require.Equal(t, fmt.Sprintf("event %d: payload breaks the guard of invoice.paid, which is made of version 1 of its schema", i), pgErr.Message)
			require.NotContains(t, err.Error(), "secret")
		}
	}

	// With a key, by enqueue(), and what Postgres can't look into.
	keyed := e(`[]`)
	keyed.IdempotencyKey = "k"
	require.Error(t, b.tryEnqueue(keyed))
	_, err := b.pool.Exec(b.ctx, `SELECT outhook.enqueue('acme', 'invoice.paid', '[]')`)
	require.ErrorContains(t, err, "breaks the guard")
	require.NoError(t, b.tryEnqueue(e(`"\u0000"`), e(`{"id":1e200000}`)), "jsonb refuses them, and so they pass")
	require.Error(t, b.tryEnqueue(keyed), "nothing was stored before")

	b.guarded(t, "invoice.paid", `{}`)
	require.NoError(t, b.tryEnqueue(e(`[]`)))
}

// drawSchema draws one of words that guards know and of some that they do not.
func drawSchema(r *rapid.T, depth int) string {
	var members []string
	maybe := func(name string, draw func() string) {
		if rapid.IntRange(0, 3).Draw(r, name) == 0 {
			members = append(members, fmt.Sprintf("%q:%s", name, draw()))
		}
	}
	inner := func() string {
		if depth == 0 {
			return `{"type":"string"}`
		}
		return drawSchema(r, depth-1)
	}
	maybe("type", func() string {
		return rapid.SampledFrom([]string{`"object"`, `"string"`, `"integer"`, `"number"`, `["object","null"]`, `["integer","string"]`, `"array"`, `"boolean"`}).Draw(r, "types")
	})
	maybe("required", func() string { return rapid.SampledFrom([]string{`["a"]`, `["a","b"]`, `["é.\""]`}).Draw(r, "names") })
	maybe("properties", func() string { return `{"a":` + inner() + `,"b":` + inner() + `,"é.\"":` + inner() + `}` })
	maybe("const", func() string { return drawValue(r, 0) })
	maybe("enum", func() string { return `[` + drawValue(r, 0) + `,` + drawValue(r, 0) + `]` })
	maybe("minimum", func() string { return rapid.SampledFrom([]string{`1`, `-2`, `1.50`, `1e1`}).Draw(r, "minimum") })
	maybe("exclusiveMaximum", func() string { return rapid.SampledFrom([]string{`2`, `0`, `1.5`}).Draw(r, "maximum") })
	maybe("allOf", func() string { return `[` + inner() + `]` })
	maybe("anyOf", func() string { return `[` + inner() + `,` + inner() + `]` })
	maybe("oneOf", func() string { return `[` + inner() + `,` + inner() + `]` })
	maybe("not", inner)
	maybe("$ref", func() string { return `"#/$defs/x"` })
	return "{" + strings.Join(members, ",") + "}"
}

func drawValue(r *rapid.T, depth int) string {
	most := 8
	if depth == 0 {
		most = 5
	}
	switch rapid.IntRange(0, most).Draw(r, "kind") {
	case 0:
		return rapid.SampledFrom([]string{`1`, `2`, `-2`, `1.5`, `1.0`, `10`, `1e1`, `0`}).Draw(r, "number")
	case 1:
		return rapid.SampledFrom([]string{`"a"`, `"1"`, `""`, `"é\""`}).Draw(r, "text")
	case 2:
		return "true"
	case 3:
		return "null"
	case 4:
		return "{}"
	case 5:
		return "[]"
	case 6:
		return "[" + drawValue(r, depth-1) + "]"
	}
	return `{"a":` + drawValue(r, depth-1) + rapid.SampledFrom([]string{`}`, `,"b":` + drawValue(r, depth-1) + `}`, `,"é.\"":1}`}).Draw(r, "rest")
}

// A guard is true of each payload that the schema allows: what it refuses, the schema refuses.
func TestGuardsRefuseNothingThatSchemasAllow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	refused, broken := 0, 0
	rapid.Check(t, func(r *rapid.T) {
		schema := drawSchema(r, 2)
		schema = `{"allOf":[` + schema + `],"$defs":{"x":` + drawSchema(r, 1) + `}}`
		compiled, err := catalog.Compile(json.RawMessage(schema))
		require.NoError(t, err, schema)
		path := catalog.Guard(json.RawMessage(schema))
		if path == "" {
			return
		}
		for range 5 {
			payload := drawValue(r, 3)
			invalid := compiled.Validate(json.RawMessage(payload))
			var passes *bool
			require.NoError(t, b.pool.QueryRow(b.ctx, `SELECT jsonb_path_match(jsonb_build_object('data', $1::jsonb), $2::jsonpath, '{}', true)`,
				payload, path).Scan(&passes), path)
			if invalid == nil {
				require.True(t, passes != nil && *passes, "%s\n%s\n%s", schema, path, payload)
				continue
			}
			broken++
			if passes == nil || !*passes {
				refused++
			}
		}
	})
	t.Logf("of %d payloads that break their schema, guards refused %d", broken, refused)
	require.Greater(t, refused, broken/3)
}

// A guard is as large as may be: of a schema that says more, what is deep is left out.
func TestGuardsAreBounded(t *testing.T) {
	t.Parallel()
	var members []string
	for i := range 200 {
		members = append(members, fmt.Sprintf(`"member_%d":{"type":"object","properties":{"x":{"type":"string"},"y":{"type":"integer"}}}`, i))
	}
	require.Equal(t, `$.data.type() == "object"`, catalog.Guard(json.RawMessage(`{"type":"object","properties":{`+strings.Join(members, ",")+`}}`)))
	path := catalog.Guard(json.RawMessage(`{"type":"object","required":["id"],"properties":{"id":{"type":"string"},"more":{"properties":{` + strings.Join(members, ",") + `}}}}`))
	require.Equal(t, `($.data.type() == "object" && (exists($.data."id") && $.data."id".type() == "string"))`, path)
	circle := `{"$ref":"#/$defs/t","$defs":{"t":{"type":"object","allOf":[{"$ref":"#/$defs/t"},{"$ref":"#/$defs/t"}],"properties":{"a":{"$ref":"#/$defs/t"},"b":{"$ref":"#/$defs/t"}}}}}`
	require.LessOrEqual(t, len(catalog.Guard(json.RawMessage(circle))), catalog.MaxGuardBytes)
	require.Empty(t, catalog.Guard(json.RawMessage(`{"$schema":"http://json-schema.org/draft-07/schema#","type":"object"}`)))
}
