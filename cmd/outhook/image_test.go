package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// imagesAfter is how long the demo runs before its pictures are taken: its charts show the last 15 minutes.
//
//nolint:gochecknoglobals // a flag
var imagesAfter = flag.Duration("images", 0, "make docs/images of a dev --demo that has run for so long, like 16m")

const (
	imageFolder = "../../docs/images"

	// imageScale is how many pixels of a picture are one of the page's.
	imageScale = 1.5

	imageWidth, imageHeight = 1280, 832
)

// The pictures of the documentation are of a demo as everybody can start it:
//
//	go test ./cmd/outhook -run TestImages -images 16m -timeout 30m
func TestImages(t *testing.T) {
	if *imagesAfter == 0 {
		t.Skip("the pictures are made with -images 16m")
	}
	t.Parallel()
	dev := startDemo(t)
	select {
	case <-time.After(*imagesAfter):
	case <-t.Context().Done():
	}

	folder := t.ArtifactDir()
	out := dev.browse(t, "images.mjs", map[string]any{
		"link": dev.link, "scale": imageScale, "width": imageWidth, "height": imageHeight,
	}, folder)
	var names []string
	require.NoError(t, json.Unmarshal(out, &names), "%s", out)
	require.NoError(t, os.MkdirAll(imageFolder, 0o755))
	for _, name := range names {
		shrink(t, filepath.Join(folder, name+".png"), filepath.Join(imageFolder, name+".png"))
	}
}

// shrink writes a picture with 256 colours, of which a page needs few.
func shrink(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	require.NoError(t, err)
	full, err := png.Decode(bytes.NewReader(data))
	require.NoError(t, err)

	var small bytes.Buffer
	require.NoError(t, (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&small, withPalette(full)))
	require.NoError(t, os.WriteFile(to, small.Bytes(), 0o644))
	t.Logf("%s: %d KB", to, small.Len()>>10)
}

// withPalette returns a picture in the colours that it has most of, none of which is nearly another. The rest, which are
// the edges of letters, get the nearest.
func withPalette(full image.Image) *image.Paletted {
	bounds := full.Bounds()
	count := map[color.RGBA]int{}
	at := func(x, y int) color.RGBA { return color.RGBAModel.Convert(full.At(x, y)).(color.RGBA) } //nolint:forcetypeassert // it is that model's
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			count[at(x, y)]++
		}
	}

	colors := make([]color.RGBA, 0, len(count))
	for c := range count {
		colors = append(colors, c)
	}
	slices.SortFunc(colors, func(a, b color.RGBA) int {
		if count[a] != count[b] {
			return count[b] - count[a]
		}
		return int(key(a)) - int(key(b))
	})
	palette := paletteOf(colors)

	small := image.NewPaletted(bounds, palette)
	index := map[color.RGBA]uint8{}
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			c := at(x, y)
			i, known := index[c]
			if !known {
				i = uint8(palette.Index(c))
				index[c] = i
			}
			small.SetColorIndex(x, y, i)
		}
	}
	return small
}

// paletteOf returns the first 256 colours that are far enough from those before them.
func paletteOf(colors []color.RGBA) color.Palette {
	for apart := 0; ; apart += 8 {
		var palette color.Palette
		for _, c := range colors {
			if !slices.ContainsFunc(palette, func(p color.Color) bool { return squared(p.(color.RGBA), c) < apart }) { //nolint:forcetypeassert // they are
				palette = append(palette, c)
			}
			if len(palette) > 256 {
				break
			}
		}
		if len(palette) <= 256 {
			return palette
		}
	}
}

// squared is how far two colours are from each other, squared.
func squared(a, b color.RGBA) int {
	square := func(a, b uint8) int { return (int(a) - int(b)) * (int(a) - int(b)) }
	return square(a.R, b.R) + square(a.G, b.G) + square(a.B, b.B)
}

func key(c color.RGBA) uint32 { return uint32(c.R)<<16 | uint32(c.G)<<8 | uint32(c.B) }
