package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"
)

const (
	// fileSuffix makes the name of the variable that names a file out of that of the variable whose value is in it.
	fileSuffix = "_FILE"

	// maxSettingBytes bounds such a file: a dozen of the longest keys are less.
	maxSettingBytes = 64 << 10
)

// inFile tells whether a setting's value may be in a file: a secret, which should be in no environment, and the level
// of the log. Those can also change while a server runs.
func inFile(flag *kong.Flag) bool { return isSecret(flag) || flag.Name == "log-level" }

// fileOf returns the content of the file that the variable NAME_FILE of a setting NAME names, without white space
// around it, and whether there is one.
func fileOf(flag *kong.Flag) (value string, found bool, err error) {
	if !inFile(flag) {
		return "", false, nil
	}

	for _, name := range flag.Envs {
		path := os.Getenv(name + fileSuffix)
		switch {
		case path == "":
			continue
		case os.Getenv(name) != "":
			return "", false, fmt.Errorf("both %s and %s are set: unset one of them", name, name+fileSuffix)
		}

		if value, err = readSetting(path); err != nil {
			return "", false, fmt.Errorf("%s: %w", name+fileSuffix, err)
		}
		return value, true, nil
	}
	return "", false, nil
}

func readSetting(path string) (string, error) {
	file, err := os.Open(path) //nolint:gosec // the user's own
	if err != nil {
		return "", err
	}
	defer file.Close() //nolint:errcheck // only read

	text, err := io.ReadAll(io.LimitReader(file, maxSettingBytes+1))
	switch value := strings.TrimSpace(string(text)); {
	case err != nil:
		return "", err
	case len(text) > maxSettingBytes:
		return "", fmt.Errorf("%s is larger than %d bytes", path, maxSettingBytes)
	case value == "":
		return "", errors.New(path + " is empty")
	default:
		return value, nil
	}
}

// files resolves the settings that are in files. A flag has the last word.
func files(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	value, found, err := fileOf(flag)
	if err != nil || !found {
		return nil, err
	}
	return value, nil
}
