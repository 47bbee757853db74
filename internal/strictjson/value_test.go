package strictjson_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/strictjson"
)

func TestText(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{`"a\n"`: "a\n", `""`: "", `"🎉"`: "🎉", `"\ud83c\udf89"`: "🎉", "\"\ufffd\"": "\ufffd"} {
		var f problem.Faults
		require.Equal(t, want, strictjson.Text(json.RawMessage(value), "body.a", &f))
		require.Empty(t, f, value)
	}
	for _, value := range []string{`1`, `null`, `["a"]`, `"a\u0000"`, `"\ud800"`, `"\udc00x"`} {
		var f problem.Faults
		strictjson.Text(json.RawMessage(value), "body.a", &f)
		require.Len(t, f, 1, value)
		require.Equal(t, "body.a", f[0].Location)
	}
}

func TestCollectionsOfTexts(t *testing.T) {
	t.Parallel()
	var f problem.Faults
	require.Equal(t, []string{"a", "b"}, strictjson.Texts(json.RawMessage(`["a", "b"]`), "body.l", &f))
	text := "b"
	require.Equal(t, map[string]*string{"a": &text, "n": nil}, strictjson.TextPatch(json.RawMessage(`{"a":"b","n":null}`), "body.m", &f))
	require.Empty(t, f)

	strictjson.Texts(json.RawMessage(`["a", 1]`), "body.l", &f)
	strictjson.Texts(json.RawMessage(`{}`), "body.l", &f)
	strictjson.TextPatch(json.RawMessage(`{"a":1}`), "body.m", &f)
	strictjson.TextPatch(json.RawMessage(`{"\u0000":""}`), "body.m", &f)
	strictjson.TextPatch(json.RawMessage(`[]`), "body.m", &f)
	var at []string
	for _, fault := range f {
		at = append(at, fault.Location)
	}
	require.Equal(t, []string{"body.l[1]", "body.l", "body.m.a", "body.m", "body.m"}, at)
}

func TestNumbersAndFlags(t *testing.T) {
	t.Parallel()
	var f problem.Faults
	require.EqualValues(t, -7, strictjson.Integer(json.RawMessage("-7"), "body.n", &f))
	require.InDelta(t, -0.75, strictjson.Number(json.RawMessage("-7.5e-1"), "body.n", &f), 0)
	require.True(t, strictjson.Bool(json.RawMessage("true"), "body.b", &f))
	require.False(t, strictjson.Bool(json.RawMessage("false"), "body.b", &f))
	require.Empty(t, f)

	for _, value := range []string{"1.0", "1e3", "2147483648", `"1"`, "null"} {
		f = nil
		strictjson.Integer(json.RawMessage(value), "body.n", &f)
		require.Equal(t, problem.Faults{{Location: "body.n", Message: "must be a whole number"}}, f, value)
	}
	for _, value := range []string{"1e999", `"1"`, "null", "[1]"} {
		f = nil
		strictjson.Number(json.RawMessage(value), "body.n", &f)
		require.Equal(t, problem.Faults{{Location: "body.n", Message: "must be a number"}}, f, value)
	}
	for _, value := range []string{"1", `"true"`, "null"} {
		f = nil
		require.False(t, strictjson.Bool(json.RawMessage(value), "body.b", &f))
		require.Equal(t, problem.Faults{{Location: "body.b", Message: "must be true or false"}}, f, value)
	}
}

func TestTime(t *testing.T) {
	t.Parallel()
	var f problem.Faults
	want := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	require.True(t, want.Equal(strictjson.Time(json.RawMessage(`"2026-01-02T16:04:05+01:00"`), "body.t", &f)))
	require.True(t, want.Equal(*strictjson.TimeOrNull(json.RawMessage(`"2026-01-02T15:04:05Z"`), "body.t", &f)))
	require.Nil(t, strictjson.TimeOrNull(json.RawMessage("null"), "body.t", &f))
	require.Empty(t, f)

	for _, value := range []string{`"yesterday"`, `1`, "null"} {
		f = nil
		strictjson.Time(json.RawMessage(value), "body.t", &f)
		require.Len(t, f, 1, value)
	}
}
