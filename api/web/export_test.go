package web

// Contrast is that of two colours.
func Contrast(a, b string) float64 {
	first, _ := ParseAccent(a)
	second, _ := ParseAccent(b)
	return contrast(first, second)
}
