package web_test

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api/web"
)

// Whatever somebody chooses can be read, in both themes, on each surface and as one.
func TestAccentsCanBeRead(t *testing.T) {
	t.Parallel()
	draw := rand.New(rand.NewPCG(1, 2))
	colours := []string{"#000000", "#ffffff", "#808080", "#777777", "#ff0000", "#00ff00", "#0000ff", "#ffff00", "#4f46d8"}
	for range 200 {
		colours = append(colours, fmt.Sprintf("#%06x", draw.IntN(1<<24)))
	}
	colour := regexp.MustCompile(`#[0-9a-f]{6}`)
	for _, c := range colours {
		a, err := web.ParseAccent(c)
		require.NoError(t, err)
		require.Equal(t, c, a.String())
		found := colour.FindAllString(a.Sheet(), -1)
		require.Len(t, found, 4, a.Sheet())
		light, dark, fill, on := found[0], found[1], found[2], found[3]
		require.Equal(t, c, fill)
		for _, pair := range [][2]string{
			{light, "#ffffff"},
			{light, "#fbfbfc"},
			{light, "#f3f4f6"},
			{light, "#ededfb"},
			{dark, "#101113"},
			{dark, "#17181b"},
			{dark, "#1f2125"},
			{dark, "#24233c"},
			{fill, on},
		} {
			require.GreaterOrEqual(t, web.Contrast(pair[0], pair[1]), 4.5, "%s: %v", c, pair)
		}
	}

	for _, text := range []string{"", "red", "#fff", "4f46d8", "#4f46d", "#4f46dg", "#4f46d8;", "#-f46d8"} {
		_, err := web.ParseAccent(text)
		require.ErrorContains(t, err, "must be a colour like #4f46d8", text)
	}
}
