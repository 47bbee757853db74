package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
)

//go:embed assets
var assets embed.FS

// Embed is the script that other people's pages show the portal with: an element of their own.
//
//go:embed embed.js
var Embed []byte

// AssetsPath is where [Assets] is served.
const AssetsPath = "/assets/"

// Assets are the style sheet, the script and the icons, under a name that changes with them: a browser keeps them for
// good.
type Assets struct {
	// Base begins the path of each: /assets/<8 hex digits>/.
	Base string

	files fs.FS
}

// NewAssets returns the assets that are built in.
func NewAssets() (*Assets, error) {
	files, err := fs.Sub(assets, "assets")
	if err != nil {
		return nil, err
	}

	sum := sha256.New()
	err = fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(files, name)
		sum.Write([]byte(name))
		sum.Write(data)
		return err
	})
	return &Assets{Base: AssetsPath + hex.EncodeToString(sum.Sum(nil))[:8] + "/", files: files}, err
}

// ServeHTTP serves them. What a page of another version asks for is not there.
func (a *Assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, found := strings.CutPrefix(r.URL.Path, a.Base)
	data, err := fs.ReadFile(a.files, name)
	if !found || err != nil {
		http.NotFound(w, r)
		return
	}

	w.Header().Set("Content-Type", mime.TypeByExtension(path.Ext(name)))
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Write(data) //nolint:gosec // a file of our own
}
