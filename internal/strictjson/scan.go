package strictjson

import (
	"bytes"
	"strings"
)

// nextToken returns the index of the next byte of valid JSON, from i on, that is no white space, comma or colon.
func nextToken(data []byte, i int) int {
	for strings.IndexByte(" \t\r\n,:", data[i]) >= 0 {
		i++
	}
	return i
}

// valueEnd returns the index behind the value that begins at index i of valid JSON.
func valueEnd(data []byte, i int) int {
	switch data[i] {
	case '"':
		return stringEnd(data, i)
	case '{', '[':
		return containerEnd(data, i)
	}

	if n := bytes.IndexAny(data[i:], " \t\r\n,]}"); n >= 0 {
		return i + n
	}
	return len(data)
}

func stringEnd(data []byte, i int) int {
	for i++; data[i] != '"'; i++ {
		if data[i] == '\\' {
			i++
		}
	}
	return i + 1
}

func containerEnd(data []byte, i int) int {
	for open := 0; ; i++ {
		switch data[i] {
		case '"':
			i = stringEnd(data, i) - 1
		case '{', '[':
			open++
		case '}', ']':
			if open--; open == 0 {
				return i + 1
			}
		}
	}
}
