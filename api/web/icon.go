package web

// drawing returns the path of an icon, or "".
func drawing(name string) string {
	switch name {
	case "logo":
		return "M8 1.8a6.2 6.2 0 1 0 6.2 6.2M8 5a3 3 0 1 0 3 3M8 8l6-6M10.5 2H14v3.5"
	case "menu":
		return "M2.5 4h11M2.5 8h11M2.5 12h11"
	case "search":
		return "M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10ZM14 14l-3.4-3.4"
	case "user":
		return "M8 8a3 3 0 1 0 0-6 3 3 0 0 0 0 6ZM2.5 14c.6-2.6 2.7-4 5.5-4s4.9 1.4 5.5 4"
	case "updown":
		return "M5 6l3-3 3 3M5 10l3 3 3-3"
	case "outside":
		return "M6 3H3v10h10v-3M9 2.500h4.500V7M13.5 2.5 7.5 8.5"
	case "leave":
		return "M6 2.500H3v11h3M10 5l3 3-3 3M13 8H6"
	case "check":
		return "M3 8.500l3.2 3.200L13 4.8"
	case "cross":
		return "M4 4l8 8M12 4l-8 8"
	case "clock":
		return "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12ZM8 4.800V8l2.2 1.5"
	case "stop":
		return "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12ZM3.8 3.800l8.4 8.4"
	case "alert":
		return "M8 2 1.5 13.500h13L8 2ZM8 6.500v3M8 11.500v.1"
	case "pause":
		return "M5.5 3.500v9M10.5 3.500v9"
	case "play":
		return "M5 3l7.5 5L5 13V3Z"
	case "unplug":
		return "M2 14l3-3M14 2l-3 3M4.5 8.500l3 3M6 10l-1.5 1.500M8.5 4.500l3 3M10 6l1.5-1.5"
	case "dot":
		return "M8 9.500a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3Z"
	case "copy":
		return "M6 6h7.500v7.500H6zM10 6V2.500H2.500V10H6"
	case "home":
		return "M2.5 7 8 2.5 13.5 7v6.500H10V9.500H6v4H2.500V7Z"
	case "event":
		return "M9 1.5 3.5 9H8l-1 5.500L12.5 7H8l1-5.500Z"
	case "send":
		return "M14 2 7 9M14 2 9.5 14 7 9 2 6.5 14 2Z"
	case "endpoint":
		return "M8 10.500a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5ZM8 1.500v4M8 10.500v4M1.5 8h4M10.5 8h4"
	case "live":
		return "M1.5 8H4l2-5 4 10 2-5h2.5"
	case "people":
		return "M6 7.500a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5ZM1.5 13c.5-2.2 2.2-3.5 4.5-3.500s4 1.3 4.5 3.500M11 3a2.3 2.3 0 0 1 0 4.300M12 9.800c1.4.5 2.3 1.6 2.5 3.2"
	case "again":
		return "M13 8a5 5 0 1 1-1.5-3.500L13.5 6.500M13.5 2.500v4h-4"
	case "gear":
		return "M8 10.500a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5ZM8 1.500v2M8 12.500v2M1.5 8h2M12.5 8h2M3.4 3.400l1.4 1.400M11.2 11.200l1.4 1.400M12.6 3.400l-1.4 1.400M4.8 11.200l-1.4 1.4"
	case "key":
		return "M10 9a3.5 3.5 0 1 0-3.2-2.100L2 11.700V14h2.500v-1.500H6V11l1.5-1.500M11 5v.1"
	case "list":
		return "M6 4h7.500M6 8h7.500M6 12h7.500M2.5 4h.1M2.5 8h.1M2.5 12h.1"
	case "book":
		return "M3 2.500h9.500v11H4.500A1.5 1.5 0 0 1 3 12V2.500ZM3 12a1.5 1.5 0 0 1 1.5-1.500h8"
	case "jobs":
		return "M2.5 3.500h11v3h-11zM2.5 9.500h11v3h-11z"
	case "eye":
		return "M1.5 8S4 3.5 8 3.5 14.5 8 14.5 8 12 12.5 8 12.5 1.5 8 1.5 8ZM8 10a2 2 0 1 0 0-4 2 2 0 0 0 0 4Z"
	case "trash":
		return "M3 4.500h10M6 4.500V2.500h4v2M4.5 4.500l.5 9h6l.5-9"
	case "plus":
		return "M8 3v10M3 8h10"
	case "flask":
		return "M6 2h4M6.5 2v4L3 13.500h10L9.5 6V2"
	}
	return ""
}
