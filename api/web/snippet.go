package web

import "embed"

//go:embed snippets
var snippetFiles embed.FS

// Snippet is code that verifies a request.
type Snippet struct{ Language, Text string }

// Snippets are those of the languages that receivers are mostly written in. Their lines are those of
// docs/receiving-*.md, where they are tested.
func Snippets() (list []Snippet) {
	for _, s := range []Snippet{
		{"Node", "node"}, {"Python", "python"}, {"Go", "go"}, {"Ruby", "ruby"}, {"PHP", "php"}, {"Java", "java"},
	} {
		text, err := snippetFiles.ReadFile("snippets/" + s.Text + ".txt")
		if err == nil { // a test reads each
			list = append(list, Snippet{s.Language, string(text)})
		}
	}
	return list
}
