package main

import "runtime/debug"

// release is set by the linker (-X main.release=v1.2.3) in the released image.
var release string //nolint:gochecknoglobals // the linker can only set a variable

// version returns the release, else what Go knows of the build, else "dev".
func version() string {
	if release != "" {
		return release
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(c *command) error { //nolint:unparam // kong wants an error
	c.printf("outhook %s\n", version())
	return nil
}
