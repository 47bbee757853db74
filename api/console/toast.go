package console

import "github.com/outhook/outhook/api/web"

// toast returns what the page says of what was just done: one of some texts, since anybody can make a link.
func (v *visit) toast() *web.Toast {
	order := func(label, verb string) *web.Action {
		return &web.Action{Label: label, Href: v.URL.EscapedPath() + "/" + verb}
	}
	undo := func(label, status string) *web.Action {
		return &web.Action{
			Label: label, Href: v.URL.EscapedPath() + "/status",
			Input: []web.Input{{Name: "status", Value: status, Hidden: true}},
		}
	}

	switch v.query("done") {
	case "replayed":
		return &web.Toast{Tone: "ok", Text: "Ordered: the next attempt is on its way."}
	case "cancelled":
		return &web.Toast{Tone: "ok", Text: "Given up: nothing more is sent of it."}
	case "erased":
		return &web.Toast{Tone: "ok", Text: "The payload is erased."}
	case "paused":
		return &web.Toast{Tone: "ok", Text: "Paused: deliveries wait.", Undo: undo("Undo", "enabled")}
	case "enabled":
		return &web.Toast{Tone: "ok", Text: "Enabled: what waited is sent.", Undo: undo("Undo", "paused")}
	case "disabled":
		return &web.Toast{Tone: "ok", Text: "Disabled: no deliveries are made."}
	case "recovering":
		return &web.Toast{Tone: "ok", Text: "Ordered: it goes on in the background."}
	case "saved":
		return &web.Toast{Tone: "ok", Text: "Saved."}
	case "deleted":
		return &web.Toast{Tone: "ok", Text: "The endpoint is deleted."}
	case "tenant-paused":
		return &web.Toast{Tone: "ok", Text: "Paused: its deliveries wait.", Undo: order("Undo", "resume")}
	case "tenant-resumed":
		return &web.Toast{Tone: "ok", Text: "Its deliveries go on."}
	case "entry-deleted":
		return &web.Toast{Tone: "ok", Text: "The entry is deleted."}
	case "erasing":
		return &web.Toast{Tone: "ok", Text: "Ordered: it is erased in the background."}
	case "revoked":
		return &web.Toast{Tone: "ok", Text: "Revoked: the key works no longer."}

	case "operation-paused":
		return &web.Toast{Tone: "ok", Text: "Paused: it stops after the chunk that it is at.", Undo: order("Undo", "resume")}
	case "operation-resumed":
		return &web.Toast{Tone: "ok", Text: "It goes on.", Undo: order("Undo", "pause")}
	case "operation-cancelled":
		return &web.Toast{Tone: "ok", Text: "Given up: what was replayed goes on."}
	}
	return nil
}
