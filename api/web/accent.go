package web

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// leastContrast is what WCAG 2.2 wants of text (1.4.3).
const leastContrast = 4.5

// Accent is a colour of somebody else's, from 0 to 1 each: red, green, blue.
type Accent [3]float64

// ParseAccent reads one like #4f46d8.
func ParseAccent(text string) (a Accent, err error) {
	digits, found := strings.CutPrefix(text, "#")
	n, err := strconv.ParseUint(digits, 16, 32)
	if !found || len(digits) != 6 || err != nil {
		return a, errors.New("must be a colour like #4f46d8")
	}
	return Accent{float64(n >> 16), float64(n >> 8 & 255), float64(n & 255)}.scaled(), nil
}

func (a Accent) scaled() Accent { return Accent{a[0] / 255, a[1] / 255, a[2] / 255} }

func (a Accent) String() string {
	return fmt.Sprintf("#%02x%02x%02x", byte(math.Round(a[0]*255)), byte(math.Round(a[1]*255)), byte(math.Round(a[2]*255)))
}

// luminance is the relative luminance of WCAG.
func (a Accent) luminance() float64 {
	linear := func(c float64) float64 {
		if c <= 0.04045 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(a[0]) + 0.7152*linear(a[1]) + 0.0722*linear(a[2])
}

func contrast(a, b Accent) float64 {
	light, dark := max(a.luminance(), b.luminance()), min(a.luminance(), b.luminance())
	return (light + 0.05) / (dark + 0.05)
}

// towards returns the colour nearest to it, on the way to another one, that can be read on a surface.
func (a Accent) towards(end, surface Accent) Accent {
	const steps = 50
	for i := range steps {
		part := float64(i) / steps
		mixed := Accent{}
		for k := range a {
			mixed[k] = a[k] + (end[k]-a[k])*part
		}

		mixed = mixed.rounded() // as it is written
		if contrast(mixed, surface) >= leastContrast {
			return mixed
		}
	}
	return end
}

func (a Accent) rounded() Accent {
	for k := range a {
		a[k] = math.Round(a[k]*255) / 255
	}
	return a
}

// Surfaces that text of this colour stands on: the darkest of the light theme, the lightest of the dark one.
const (
	lightSurface = "#ededfb"
	darkSurface  = "#24233c"
)

// Sheet is the style sheet that gives pages the colour: as it is where text stands on it, which is black or white,
// whatever can be read; and where it is text itself as near to it as can be read, in each theme.
func (a Accent) Sheet() string {
	white, black := Accent{1, 1, 1}, Accent{}
	light, _ := ParseAccent(lightSurface) // they are ours
	dark, _ := ParseAccent(darkSurface)
	on := white
	if contrast(a, black) > contrast(a, white) {
		on = black
	}
	return fmt.Sprintf(":root { --accent: light-dark(%s, %s); --accent-fill: %s; --on-accent: %s; }\n",
		a.towards(black, light), a.towards(white, dark), a, on)
}
