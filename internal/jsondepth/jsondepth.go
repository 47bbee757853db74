// Package jsondepth counts how deep a JSON text nests, in one way for those who publish from Go and for the API.
package jsondepth

// Of returns how deep brackets nest outside of strings. For valid JSON that is the depth of the value. The text need
// not be valid: the depth is asked before a parser is, which gives up at a depth of its own.
func Of(text []byte) (deepest int) {
	open, inString := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:

		case c == '{', c == '[':
			open++
			deepest = max(deepest, open)
		case c == '}', c == ']':
			open--
		}
	}
	return deepest
}
