package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// variablePrefix begins the name of every environment variable of ours.
const variablePrefix = "OUTHOOK_"

// checked is a command whose start its environment can stop.
type checked interface {
	// check returns what is wrong with the configuration, naming the variable, without touching anything.
	check() error
}

// checkEnvironment refuses to start a server beside a variable that is a misspelled one of ours: the server would run
// with the default in its place. Of those that are somebody else's it only warns.
func checkEnvironment(kctx *kong.Context, environ []string, stderr io.Writer) error {
	if _, ok := reflect.TypeAssert[checked](kctx.Selected().Target.Addr()); !ok {
		return nil
	}
	return unknownVariables(kctx.Model.Node, environ, stderr)
}

// unknownVariables returns an error that names the variables in an environment that are nearly one of ours, and of
// those that once were settings what holds in their place. It warns of others that begin as ours do: an application may
// have some of its own.
func unknownVariables(root *kong.Node, environ []string, stderr io.Writer) error {
	known, gone := variables(root), removed()
	var wrong, old, others []string

	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		_, ok := known[name]
		switch {
		case ok, !strings.HasPrefix(name, variablePrefix):
		case namesFile(known, name):
		case strings.HasPrefix(name, "OUTHOOK_TEST_"): // of the tests
		case name == "OUTHOOK_VERSION": // of compose.yaml: the image's tag
		case gone[name] != "":
			old = append(old, fmt.Sprintf("%s is no setting any more: %s; unset it", name, gone[name]))
		default:
			if meant := suggestion(name, known); meant != "" {
				wrong = append(wrong, name+meant)
			} else {
				others = append(others, name)
			}
		}
	}

	if len(others) > 0 {
		slices.Sort(others)
		fmt.Fprintf(stderr, "outhook: warning: nothing here reads %s\n", printable(strings.Join(others, ", ")))
	}
	if len(wrong) > 0 {
		slices.Sort(wrong)
		names := strings.Join(wrong, ", ")
		old = append(old, fmt.Sprintf("no setting has this name: %s (docs/configuration.md lists all)", names))
	}
	if len(old) == 0 {
		return nil
	}

	slices.Sort(old)
	return usageError{errors.New(strings.Join(old, "; "))}
}

// namesFile tells whether a variable names the file that another one's value is in.
func namesFile(known map[string][]*setting, name string) bool {
	name, ok := strings.CutSuffix(name, fileSuffix)
	return ok && slices.ContainsFunc(known[name], func(s *setting) bool { return inFile(s.flag) })
}

// suggestion names the known variable that is nearest, if one is so near that it must have been meant: up to a third of
// the name may differ, two bytes at least (as two that changed places) and three at most. So is a setting's name with
// _FILE if its value is in no file.
func suggestion(name string, known map[string][]*setting) string {
	if of, isFile := strings.CutSuffix(name, fileSuffix); isFile && known[of] != nil {
		return " (" + of + " is given in no file)"
	}

	best, bestDistance := "", 1+min(3, max(2, (len(name)-len(variablePrefix))/3))
	for _, candidate := range sortedKeys(known) {
		if d := distance(name, candidate); d < bestDistance {
			best, bestDistance = candidate, d
		}
	}

	if best == "" {
		return ""
	}
	return " (did you mean " + best + "?)"
}

// distance is Levenshtein's: how many bytes to insert, delete or replace.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}

	for i := range len(a) {
		previous := row[0]
		row[0] = i + 1

		for j := range len(b) {
			replaced := previous
			if a[i] != b[j] {
				replaced++
			}
			previous = row[j+1]
			row[j+1] = min(row[j]+1, row[j+1]+1, replaced)
		}
	}

	return row[len(b)]
}

// setting is a flag of a command that has a variable.
type setting struct {
	command string     // the name of the topmost one
	node    *kong.Node // the topmost one
	flag    *kong.Flag
}

// variables returns every variable with the settings that read it, in the order of the commands.
func variables(root *kong.Node) map[string][]*setting {
	found := map[string][]*setting{}
	for _, node := range root.Children {
		collect(node, node, found)
	}
	return found
}

func collect(node, top *kong.Node, found map[string][]*setting) {
	for _, flag := range node.Flags {
		for _, name := range flag.Envs {
			same := func(s *setting) bool { return s.command == top.Name }
			if !slices.ContainsFunc(found[name], same) {
				found[name] = append(found[name], &setting{top.Name, top, flag})
			}
		}
	}

	for _, child := range node.Children {
		collect(child, top, found)
	}
}

type configCmd struct {
	JSON    bool     `name:"json" help:"Print JSON instead of a table."`
	Command []string `arg:"" optional:"" passthrough:"" help:"serve or dev, with its flags; serve unless given."`
}

// value is one effective setting.
type value struct {
	Name   string `json:"name"`
	Value  any    `json:"value"`
	Source string `json:"source"`
}

// Run prints what serve or dev would run with, and fails as they would.
func (cmd *configCmd) Run(c *command) error {
	args := cmd.Command
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		args = append([]string{"serve"}, args...)
	}

	kctx, err := parse(args, io.Discard, io.Discard)
	if err != nil {
		return err
	}

	target, ok := reflect.TypeAssert[checked](kctx.Selected().Target.Addr())
	if !ok {
		return usageError{errors.New("config shows the configuration of serve or dev: outhook config [serve|dev] [flags]")}
	}

	values := effective(kctx)

	if cmd.JSON {
		encoder := json.NewEncoder(c.stdout)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(values); err != nil {
			return fmt.Errorf("writing the configuration: %w", err)
		}
	} else {
		t := newTable(c.stdout, []string{"NAME", "VALUE", "FROM"})
		for _, v := range values {
			t.row(v.Name, fmt.Sprint(v.Value), v.Source)
		}
		t.flush()
	}

	err = errors.Join(unknownVariables(kctx.Model.Node, os.Environ(), c.stderr), target.check())
	if err != nil {
		return usageError{err}
	}

	return nil
}

// effective returns the values of the selected command's settings and where each comes from.
func effective(kctx *kong.Context) (values []value) {
	given := map[*kong.Flag]bool{}
	for _, p := range kctx.Path {
		given[p.Flag] = !p.Resolved
	}

	for _, flag := range kctx.Flags() {
		if len(flag.Envs) == 0 {
			continue
		}

		v := value{Name: flag.Envs[0], Value: shown(flag, kctx.FlagValue(flag)), Source: "default"}
		if slices.ContainsFunc(flag.Envs, func(name string) bool { return os.Getenv(name) != "" }) {
			v.Source = "environment"
		}
		if _, found, _ := fileOf(flag); found {
			v.Source = "file"
		}
		if given[flag] {
			v.Source = "flag --" + flag.Name
		}

		values = append(values, v)
	}

	slices.SortFunc(values, func(a, b value) int { return cmp.Compare(a.Name, b.Name) })
	return values
}

// shown returns a flag's value, or of a secret only that there is one.
func shown(flag *kong.Flag, v any) any {
	text := fmt.Sprint(v)
	if list, ok := v.([]string); ok {
		text = strings.Join(list, ",")
	}

	switch {
	case !isSecret(flag):
		return text
	case text == "":
		return "not set"
	case flag.Tag.Get("secret") == "url":
		return withoutPassword(text)
	}
	return "set, not shown"
}

// isSecret tells whether a flag's value must not be shown: by its tag, or by its name in case the tag was forgotten.
func isSecret(flag *kong.Flag) bool {
	if flag.Tag != nil && flag.Tag.Has("secret") {
		return true
	}

	return slices.ContainsFunc([]string{"key", "secret", "password", "token", "credential"}, func(part string) bool {
		return strings.Contains(flag.Name, part)
	})
}

// withoutPassword returns the scheme, user, host and path of a URL. Its query can hold a password too.
func withoutPassword(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return "set, not shown"
	}

	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	if u.User != nil {
		shown.User = url.User(u.User.Username())
	}
	return shown.String()
}
