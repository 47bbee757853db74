package demo

import (
	"context"
	_ "embed" // the catalogue
	"encoding/json"
	"fmt"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/internal/catalog"
)

//go:embed catalog.yaml
var catalogYAML []byte

// describe pushes the catalogue, unless there is one already: somebody may have changed it.
func (w *World) describe(ctx context.Context) error {
	before, err := w.cfg.API.ListEventTypes(ctx, client.ListEventTypesParams{Limit: 1})
	if err != nil || len(before.Items) > 0 {
		return err
	}

	document, err := catalog.FromYAML(catalogYAML)
	if err != nil {
		return fmt.Errorf("reading the demo's catalogue: %w", err)
	}
	body, err := json.Marshal(map[string]any{"document": document})
	if err != nil {
		return fmt.Errorf("encoding the demo's catalogue: %w", err)
	}
	_, err = w.cfg.API.PushCatalog(ctx, client.NewCatalog{}, client.PushCatalogParams{}, client.WithBody(body))
	return err
}
