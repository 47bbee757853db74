package portal

import (
	"bytes"
	"encoding/json"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/api/pages"
	"github.com/outhook/outhook/api/web"
	"github.com/outhook/outhook/internal/catalog"
)

// maxTypes is how many event types of the catalogue a page lists: the most that the API gives at once.
const maxTypes = 200

func showHelp(v *visit) error {
	described, err := v.described()
	if err != nil {
		return err
	}
	return v.show(web.PortalHelpPage(v.shell(v.t("Help")), described, web.Snippets()))
}

// described are the event types of the catalogue, as far as customers are shown them.
func (v *visit) described() (list []web.PublicRow, err error) {
	page, err := v.api.ListEventTypes(v.ctx(), client.ListEventTypesParams{Order: "asc", Limit: maxTypes})
	if pages.IsBusy(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, t := range page.Items {
		list = append(list, web.PublicRow{Name: t.Name, Title: t.Title, Deprecated: isDeprecated(t.State)})
	}
	return list, nil
}

// isDeprecated tells whether a type is for nothing new.
func isDeprecated(state string) bool { return state != "active" }

func showType(v *visit) error {
	t, err := v.api.GetEventType(v.ctx(), v.PathValue("type"))
	if err != nil {
		return err
	}

	page := web.PublicEventType{
		PublicRow:   web.PublicRow{Name: t.Name, Title: t.Title, Deprecated: isDeprecated(t.State)},
		Description: t.Description,
	}
	for _, m := range catalog.Members(t.Schema) {
		page.Members = append(page.Members, web.PublicMember{
			Path: m.Path, Type: m.Type, Required: m.Required, Description: m.Description,
		})
	}
	for _, example := range t.Examples {
		page.Examples = append(page.Examples, v.indented(example))
	}
	return v.show(web.PortalTypePage(v.shell(t.Name), page))
}

// indented returns JSON for people: every byte but the white space is as it was published.
func (v *visit) indented(payload json.RawMessage) string {
	var b bytes.Buffer
	if err := json.Indent(&b, payload, "", "  "); err != nil {
		b.Reset()
		b.Write(payload)
	}
	if b.Len() > maxShownPayload {
		b.Truncate(maxShownPayload)
		b.WriteString("\n" + v.t("… the rest is too long for a page"))
	}
	return b.String()
}
