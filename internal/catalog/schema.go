package catalog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// schemaURL is where a schema stands, for whoever compiles it. Nothing is there.
const schemaURL = "outhook:schema"

// Schema is what payloads are held against. It is safe for concurrent use.
type Schema struct {
	value any

	// compiled are ready to be used, one for each processor; nil: is compiled by whoever gets it.
	compiled chan *compiled
}

// compiled is a schema for one evaluation at a time.
type compiled struct {
	schema *jsonschema.Schema
	effort *effort
}

// nowhere refuses to load what a schema refers to: a document of somebody's choice must lead to no request of ours.
type nowhere struct{}

// errElsewhere is the error of a reference that leads out of a schema.
var errElsewhere = errors.New("it refers to another document, and nothing is fetched")

// Load refuses.
func (nowhere) Load(string) (any, error) { return nil, errElsewhere }

// Compile reads a schema of JSON Schema 2020-12. Its patterns are those of RE2, and its formats are remarks.
func Compile(schema json.RawMessage) (*Schema, error) {
	schemas := 0
	for _, begin := range []string{"{", "true", "false"} {
		schemas += bytes.Count(schema, []byte(begin))
	}
	if schemas > MaxSchemas {
		return nil, fmt.Errorf("it consists of more than %d schemas", MaxSchemas)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return nil, errors.New("it is not valid JSON")
	}
	if err := checkNumbers(value); err != nil {
		return nil, fmt.Errorf("it %w", err)
	}

	first, err := compile(value)
	if err != nil {
		return nil, err
	}
	s := &Schema{value, make(chan *compiled, runtime.GOMAXPROCS(0))}
	s.compiled <- first
	for len(s.compiled) < cap(s.compiled) {
		s.compiled <- nil
	}
	return s, nil
}

// everySchema is the URL of a vocabulary without a word. Compiling asks it about each schema, and so it knows all.
const everySchema = "outhook:every-schema"

func compile(value any) (*compiled, error) {
	e := &effort{}
	var all []*jsonschema.Schema

	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseLoader(nowhere{})
	c.UseRegexpEngine(e.pattern)
	c.AssertVocabs()
	c.RegisterVocabulary(&jsonschema.Vocabulary{
		URL: everySchema,
		Compile: func(ctx *jsonschema.CompilerContext, _ map[string]any) (jsonschema.SchemaExt, error) {
			all = append(all, ctx.Enqueue(nil))
			return nil, nil //nolint:nilnil // it has no words
		},
	})

	// Patterns are matched while the schema is held against its own: the document's size bounds that.
	e.left = math.MaxInt
	if err := c.AddResource(schemaURL, value); err != nil {
		return nil, errors.New(explain(err))
	}
	schema, err := c.Compile(schemaURL)
	if err != nil {
		return nil, errors.New(explain(err))
	}
	for _, s := range all {
		e.meter(s)
	}
	return &compiled{schema, e}, nil
}

// explain says why a schema is none, by the place in it.
func explain(err error) string {
	var invalid *jsonschema.SchemaValidationError
	var violated *jsonschema.ValidationError
	if errors.As(err, &invalid) && errors.As(invalid.Err, &violated) {
		v := deepest(violated)
		return v.Problem + " at " + v.where()
	}
	if errors.Is(err, errElsewhere) {
		return errElsewhere.Error()
	}
	return strings.ReplaceAll(strings.ReplaceAll(err.Error(), schemaURL, ""), "\"", "'")
}

// Violation is the first thing that a payload breaks of a schema.
//
//nolint:errname // it is what a schema finds; an error only on its way
type Violation struct {
	// Pointer is the JSON pointer (RFC 6901) to where in the payload, "" for the whole. Names that are not plain, which
	// a publisher may have made of somebody's data, are written as *.
	Pointer string

	// Problem says what is wrong there, by what the schema says: nothing of the payload is repeated.
	Problem string
}

// Error says where and what.
func (v *Violation) Error() string { return v.Problem + " at " + v.where() }

func (v *Violation) where() string {
	if v.Pointer == "" {
		return "its root"
	}
	return v.Pointer
}

// Validate returns a *[Violation] if a payload breaks the schema, or takes more than [MaxSteps] to be held against it.
func (s *Schema) Validate(payload json.RawMessage) error {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(payload))
	if err != nil {
		return &Violation{Problem: "it is not valid JSON"}
	}
	if err := checkNumbers(value); err != nil {
		return &Violation{Problem: err.Error()}
	}

	// Evaluating takes a processor, so that more at a time than there are of those would only take more room.
	c := <-s.compiled
	defer func() { s.compiled <- c }()
	if c == nil {
		if c, err = compile(s.value); err != nil {
			return fmt.Errorf("compiling a schema again: %w", err) // not for one that was compiled before
		}
	}

	err = c.effort.within(stepsFor(payload), func() error { return c.schema.Validate(value) })
	var violated *jsonschema.ValidationError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &violated):
		v := deepest(violated)
		return &v
	case errors.Is(err, errEffort):
		return &Violation{Problem: err.Error()}
	}
	return err
}

// deepest returns the violation that lies deepest in the value, of several the first: what is above follows from it.
func deepest(e *jsonschema.ValidationError) Violation {
	best := leafOf(e)
	return Violation{Pointer: pointer(best.InstanceLocation), Problem: problemOf(best.ErrorKind)}
}

func leafOf(e *jsonschema.ValidationError) *jsonschema.ValidationError {
	if len(e.Causes) == 0 {
		return e
	}
	var best *jsonschema.ValidationError
	for _, cause := range e.Causes {
		if leaf := leafOf(cause); best == nil || len(leaf.InstanceLocation) > len(best.InstanceLocation) {
			best = leaf
		}
	}
	return best
}

// pointer writes a way into a value.
func pointer(path []string) string {
	var b strings.Builder
	for _, part := range path {
		b.WriteByte('/')
		if isPlainName(part) {
			b.WriteString(part)
		} else {
			b.WriteByte('*')
		}
	}
	return b.String()
}

// maxPlainName is how long a name may be that is repeated.
const maxPlainName = 64

// isPlainName tells whether a name looks like one that stands in a schema.
func isPlainName(name string) bool {
	return name != "" && len(name) <= maxPlainName && !strings.ContainsFunc(name, func(r rune) bool {
		return r != '_' && r != '-' && r != '$' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

// problemOf says what is wrong, in the words of the schema.
func problemOf(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Type:
		return "must be " + strings.Join(k.Want, " or ")
	case *kind.Required:
		return "must have " + strings.Join(plainNames(k.Missing), ", ")

	case *kind.AdditionalProperties:
		return "has members that the schema does not name"
	case *kind.FalseSchema:
		return "must not be there"
	case *kind.Enum:
		return "must be one of the schema's values"
	case *kind.Const:
		return "must be the schema's value"
	case *kind.Format:
		if k.Want == "regex" {
			return "must be a regular expression of RE2, of " + strconv.Itoa(MaxPatternBytes) + " bytes at most"
		}
	}
	return problemOfBound(k)
}

// problemOfBound is problemOf for what has a bound.
func problemOfBound(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.MinLength:
		return "must have at least " + strconv.Itoa(k.Want) + " characters"
	case *kind.MaxLength:
		return "must have at most " + strconv.Itoa(k.Want) + " characters"
	case *kind.MinItems:
		return "must have at least " + strconv.Itoa(k.Want) + " elements"
	case *kind.MaxItems:
		return "must have at most " + strconv.Itoa(k.Want) + " elements"
	}

	if path := k.KeywordPath(); len(path) > 0 {
		return "breaks " + path[0]
	}
	return "breaks the schema"
}

func plainNames(names []string) []string {
	names = slices.Clone(names)
	for i, name := range names {
		if !isPlainName(name) {
			names[i] = fmt.Sprintf("%.*q", maxPlainName, name)
		}
	}
	return names
}
