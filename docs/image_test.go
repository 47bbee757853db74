package docs_test

import (
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// maxImage is how large a picture may be, in bytes: a checkout has them all, and a page loads some.
const maxImage = 200 << 10

// shownImage matches a picture in a page, with what is said instead to who can't see it.
var shownImage = regexp.MustCompile(`!\[([^\]]*)\]\(((?:docs/)?images/[^)]+)\)`)

// The pictures are there, small, and shown; cmd/outhook makes them (TestImages).
func TestImagesAreShown(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("*.md")
	require.NoError(t, err)
	shown := map[string]int{}
	for _, page := range append(pages, "../README.md") {
		source, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, match := range shownImage.FindAllStringSubmatch(string(source), -1) {
			require.Greater(t, len(match[1]), 20, "%s: %s says too little to who can't see it", page, match[2])
			require.Equal(t, page == "../README.md", strings.HasPrefix(match[2], "docs/"), match[2])
			shown[filepath.Base(match[2])]++
			require.FileExists(t, filepath.Join(filepath.Dir(page), match[2]), page)
		}
	}

	images, err := filepath.Glob("images/*")
	require.NoError(t, err)
	require.Len(t, images, 6)
	dark := 0
	for _, path := range images {
		require.Positive(t, shown[filepath.Base(path)], "no page shows %s", path)
		file, err := os.Open(path)
		require.NoError(t, err)
		info, err := file.Stat()
		require.NoError(t, err)
		require.LessOrEqual(t, info.Size(), int64(maxImage), path)
		picture, err := png.Decode(file)
		require.NoError(t, err, path)
		require.NoError(t, file.Close())
		require.IsType(t, &image.Paletted{}, picture, path)
		require.GreaterOrEqual(t, picture.Bounds().Dx(), 1280, path)
		corner := color.GrayModel.Convert(picture.At(picture.Bounds().Max.X-1, picture.Bounds().Max.Y-1))
		if corner.(color.Gray).Y < 128 { //nolint:forcetypeassert // it is that model's
			dark++
		}
	}
	require.Equal(t, 1, dark, "one is of the dark theme")
}
