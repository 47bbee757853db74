package public

import (
	"fmt"
	"strings"

	"github.com/outhook/outhook/internal/catalog"
)

// text is the catalogue as one text in Markdown, for machines that read.
func (c *contents) text() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\nEvents are sent as HTTP requests; what follows is of their bodies.\n", line(c.title))
	for _, group := range c.groups {
		if group.Name != "" {
			fmt.Fprintf(&b, "\n## %s\n", line(group.Name))
		}
		for _, row := range group.Rows {
			c.types[row.Name].write(&b)
		}
	}
	return []byte(b.String())
}

// index says where what is, in the form of llmstxt.org.
func (c *contents) index() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n> The events that webhooks send: what each means, and what is in it.\n\n", line(c.title))
	fmt.Fprintf(&b, "- [All of them as one text](%s)\n", TextPath)
	fmt.Fprintf(&b, "- [The same as an OpenAPI document](%s/openapi.json)\n", Path)

	for _, group := range c.groups {
		name := group.Name
		if name == "" {
			name = "Events"
		}
		fmt.Fprintf(&b, "\n## %s\n\n", line(name))
		for _, row := range group.Rows {
			t := c.types[row.Name]
			fmt.Fprintf(&b, "- [%s](%s)", t.Name, t.schemaPath())
			if title := line(t.Title); title != "" {
				b.WriteString(": " + title)
			}
			if t.Deprecated {
				b.WriteString(" (deprecated)")
			}
			b.WriteString("\n")
		}
	}
	return []byte(b.String())
}

// schemaPath is where the newest version of the type's schema is.
func (d *described) schemaPath() string {
	return fmt.Sprintf("%s/%s/%d.schema.json", Path, d.Name, d.version)
}

// write writes what is known of a type.
func (d *described) write(b *strings.Builder) {
	fmt.Fprintf(b, "\n### %s\n", code(d.Name))
	if title := line(d.Title); title != "" {
		fmt.Fprintf(b, "\n%s\n", title)
	}
	if d.Deprecated {
		b.WriteString("\nDeprecated: it is still sent.\n")
	}
	if description := strings.TrimSpace(d.Description); description != "" {
		fmt.Fprintf(b, "\n%s\n", description)
	}

	fmt.Fprintf(b, "\n[Schema, version %d](%s)\n", d.version, d.schemaPath())
	for i, m := range catalog.Members(d.Schema) {
		if i == 0 {
			b.WriteString("\n")
		}
		b.WriteString("- " + code(m.Path) + ": " + line(m.Type))
		if m.Required {
			b.WriteString(", required")
		}
		if m.Description != "" {
			b.WriteString(". " + line(m.Description))
		}
		b.WriteString("\n")
	}
	for _, example := range d.Examples {
		text := indented(example)
		fence := "``" + ticks(text)
		fmt.Fprintf(b, "\n%sjson\n%s\n%s\n", fence, text, fence)
	}
}

// line is a text on one line.
func line(text string) string { return strings.Join(strings.Fields(text), " ") }

// code is a text on one line as code, whatever is in it.
func code(text string) string {
	text = line(text)
	if !strings.Contains(text, "`") {
		return "`" + text + "`"
	}
	fence := ticks(text)
	return fence + " " + text + " " + fence
}

// ticks is a run of backticks that is longer than any in a text.
func ticks(text string) string {
	longest, run := 0, 0
	for _, r := range text {
		if r != '`' {
			run = 0
			continue
		}
		run++
		longest = max(longest, run)
	}
	return strings.Repeat("`", longest+1)
}
