package catalog

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/outhook/outhook/internal/jsondepth"
)

const (
	// MaxSteps bounds what it takes to hold a payload against a schema: each schema that a value is held against is a
	// step, and so is each member and element. Half a million are some tenths of a second; a payload as large as may be,
	// of plain numbers, takes a quarter of a million. Alternatives within alternatives could take for ever. A payload of
	// more than levelsAStep levels has so many times fewer, since each step looks back at all above it.
	MaxSteps = 500_000

	// MaxSchemas bounds the schemas that one consists of, counted by its objects: compiling looks each up among all.
	MaxSchemas = 10_000

	// MaxPatternBytes bounds a pattern.
	MaxPatternBytes = 1024

	// maxNumber bounds a number's characters and maxExponent its exponent: whoever compares exactly writes it out.
	maxNumber   = 400
	maxExponent = 400

	// What counts as one step beside a schema: so many constants that a value is compared with, characters of a text, and
	// instructions of a pattern for sixteen characters.
	constantsAStep    = 16
	charactersAStep   = 64
	instructionsAStep = 8

	// levelsAStep is how many levels of a payload a step looks back at.
	levelsAStep = 16
)

// stepsFor is how many steps a payload has.
func stepsFor(payload json.RawMessage) int { return MaxSteps / (1 + jsondepth.Of(payload)/levelsAStep) }

// errEffort is what a payload ends with whose evaluation takes too long.
var errEffort = fmt.Errorf("takes more than %d steps to be held against the schema, or its share for its depth",
	MaxSteps)

// effort counts the steps of one evaluation.
type effort struct{ left int }

// spent is the panic of an evaluation that takes too long: the library has no other way out.
type spent struct{}

func (e *effort) spend(steps int) {
	if e.left -= steps; e.left < 0 {
		panic(spent{})
	}
}

// within runs an evaluation, and returns errEffort if it takes too long.
func (e *effort) within(steps int, run func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			if _, ok := p.(spent); !ok {
				panic(p)
			}
			err = errEffort
		}
	}()
	e.left = steps
	return run()
}

// meter makes a schema count, before it looks into a value. What looks first is the format, which all schemas may have.
func (e *effort) meter(s *jsonschema.Schema) {
	p := priceOf(s)
	next := s.Format
	s.Format = &jsonschema.Format{Name: "format", Validate: func(v any) error {
		e.spend(p.of(v))
		if next == nil {
			return nil
		}
		return next.Validate(v)
	}}
}

// price is what it takes to hold a value against a schema, without what that in turn takes for the schemas within.
type price struct {
	whole  int // once
	each   int // for each member or element
	unique bool
}

func (p price) of(v any) int {
	switch v := v.(type) {
	case map[string]any:
		return p.whole + len(v)*p.each

	case []any:
		steps := p.whole + len(v)*p.each
		if p.unique {
			steps += size(v)
		}
		return steps
	case string:
		return p.whole + len(v)/charactersAStep
	}
	return p.whole
}

// priceOf adds up the schemas that lie directly in a schema. One of those may end before it counts by itself.
func priceOf(s *jsonschema.Schema) price {
	p := price{whole: 1 + len(s.Required)/constantsAStep, each: 1, unique: s.UniqueItems}
	for _, list := range [][]*jsonschema.Schema{
		s.AllOf, s.AnyOf, s.OneOf, {s.Not, s.If, s.Then, s.Else, s.Ref, s.RecursiveRef},
	} {
		for _, inner := range list {
			p.whole += weight(inner)
		}
	}
	for _, inner := range s.DependentSchemas {
		p.whole += weight(inner)
	}
	if s.DynamicRef != nil {
		p.whole += weight(s.DynamicRef.Ref)
	}

	dearest := 0
	for _, inner := range s.Properties {
		dearest = max(dearest, weight(inner))
	}
	for _, inner := range s.PrefixItems {
		dearest = max(dearest, weight(inner))
	}
	for _, inner := range s.PatternProperties {
		p.each += weight(inner)
	}
	for _, inner := range []*jsonschema.Schema{
		s.Items2020, s.Contains, s.PropertyNames, s.UnevaluatedItems, s.UnevaluatedProperties,
	} {
		p.each += weight(inner)
	}
	for _, value := range []any{s.AdditionalProperties, s.AdditionalItems, s.Items} {
		if inner, ok := value.(*jsonschema.Schema); ok {
			p.each += weight(inner)
		}
	}
	p.each += dearest
	return p
}

// weight is what it takes to begin with a schema.
func weight(s *jsonschema.Schema) int {
	if s == nil {
		return 0
	}
	constants := 0
	if s.Const != nil {
		constants += size(*s.Const)
	}
	if s.Enum != nil {
		constants += size(s.Enum.Values)
	}
	return 1 + constants/constantsAStep
}

// size is how many values a value consists of.
func size(v any) int {
	n := 1
	switch v := v.(type) {
	case map[string]any:
		for _, member := range v {
			n += size(member)
		}
	case []any:
		for _, element := range v {
			n += size(element)
		}
	}
	return n
}

// pattern is a regular expression whose matches count.
type pattern struct {
	*regexp.Regexp

	effort *effort
	length int // of its program, in instructions
}

// MatchString tells whether a text has a match.
func (p pattern) MatchString(s string) bool {
	p.effort.spend(1 + (1+len(s)/16)*(1+p.length/instructionsAStep)/4)
	return p.Regexp.MatchString(s)
}

// pattern compiles a pattern: RE2's, which take no longer than the text is long.
func (e *effort) pattern(text string) (jsonschema.Regexp, error) {
	if len(text) > MaxPatternBytes {
		return nil, fmt.Errorf("is longer than %d bytes", MaxPatternBytes)
	}

	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, err
	}
	compiled, err := regexp.Compile(text)
	return pattern{compiled, e, len(program.Inst)}, err
}

// errNumber is the error of a number that no schema is for.
var errNumber = errors.New("has a number that is longer than 400 characters, or has an exponent beyond 400")

// checkNumbers refuses numbers that take long to compare: 1e1000000 has a million digits.
func checkNumbers(v any) error {
	switch v := v.(type) {
	case map[string]any:
		for _, member := range v {
			if err := checkNumbers(member); err != nil {
				return err
			}
		}

	case []any:
		for _, element := range v {
			if err := checkNumbers(element); err != nil {
				return err
			}
		}
	case json.Number:
		return checkNumber(string(v))
	}
	return nil
}

func checkNumber(text string) error {
	if len(text) > maxNumber {
		return errNumber
	}

	at := strings.IndexAny(text, "eE")
	if at < 0 {
		return nil
	}
	exponent := 0
	for _, digit := range strings.TrimLeft(text[at+1:], "+-") {
		if exponent = exponent*10 + int(digit-'0'); exponent > maxExponent {
			return errNumber
		}
	}
	return nil
}
