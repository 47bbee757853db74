package main

import (
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// The scripts ask the hidden command complete for what can come next, one word a line.
const (
	bashCompletion = `_outhook() {
	local IFS=$'\n'
	COMPREPLY=($(outhook complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _outhook outhook
`
	zshCompletion = `#compdef outhook
_outhook() {
	local -a found
	found=("${(@f)$(outhook complete -- "${(@)words[2,$CURRENT]}" 2>/dev/null)}")
	if [[ -n "$found" ]]; then compadd -a found; else _files; fi
}
compdef _outhook outhook
`
	fishCompletion = `complete -c outhook -a '(outhook complete -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'
`
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help says how to use it.
func (completionCmd) Help() string {
	return "bash: source <(outhook completion bash). zsh: source <(outhook completion zsh), after compinit. " +
		"fish: outhook completion fish | source. Put that line into the shell's init file to keep it."
}

// Run prints the script.
func (cmd completionCmd) Run(c *command) error { //nolint:unparam // kong wants an error
	script := map[string]string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}[cmd.Shell]
	c.printf("%s", script)
	return nil
}

type completeCmd struct {
	Words []string `arg:"" optional:"" passthrough:""`
}

// Run prints what can stand in place of the last word, given those before it.
func (cmd completeCmd) Run(c *command) error {
	parser, err := newParser(io.Discard, io.Discard, "")
	if err != nil {
		return err
	}

	words := cmd.Words
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	if len(words) == 0 {
		words = []string{""}
	}

	for _, word := range completions(parser.Model.Node, words) {
		c.printf("%s\n", word)
	}
	return nil
}

// completions walks from the root along the words and returns what can stand in place of the last.
func completions(node *kong.Node, words []string) []string {
	last, before := words[len(words)-1], words[:len(words)-1]

	flags := slices.Clone(node.Flags)
	position := 0
	var pending *kong.Flag // whose value comes next

	for _, word := range before {
		switch {
		case pending != nil:
			pending = nil
		case strings.HasPrefix(word, "-"):
			if f := findFlag(flags, word); f != nil && !f.IsBool() && !strings.Contains(word, "=") {
				pending = f
			}
		default:
			if i := slices.IndexFunc(node.Children, func(n *kong.Node) bool { return n.Name == word && !n.Hidden }); i >= 0 {
				node = node.Children[i]
				flags = append(flags, node.Flags...)
			} else {
				position++
			}
		}
	}

	found := candidates(node, flags, pending, position, last)
	return slices.DeleteFunc(found, func(s string) bool { return !strings.HasPrefix(s, last) })
}

func findFlag(flags []*kong.Flag, word string) *kong.Flag {
	name, _, _ := strings.Cut(word, "=")
	i := slices.IndexFunc(flags, func(f *kong.Flag) bool { return "--"+f.Name == name })
	if i < 0 {
		return nil
	}
	return flags[i]
}

func candidates(node *kong.Node, flags []*kong.Flag, pending *kong.Flag, position int, last string) (found []string) {
	switch {
	case pending != nil:
		return enumValues(pending.Value)
	case strings.HasPrefix(last, "-"):
		for _, f := range flags {
			if f.Hidden {
				continue
			}
			found = append(found, "--"+f.Name)
			if f.Tag != nil && f.Tag.Negatable != "" {
				found = append(found, "--no-"+f.Name)
			}
		}
		return found
	}

	for _, child := range node.Children {
		if !child.Hidden {
			found = append(found, child.Name)
		}
	}

	if position < len(node.Positional) {
		found = append(found, enumValues(node.Positional[position])...)
	}

	return found
}

func enumValues(v *kong.Value) []string {
	if v.Enum == "" {
		return nil
	}
	return slices.DeleteFunc(strings.Split(v.Enum, ","), func(s string) bool { return strings.TrimSpace(s) == "" })
}
