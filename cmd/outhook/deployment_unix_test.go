//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/outhook/outhook/cmd/outhook/internal/server"
	"github.com/outhook/outhook/internal/dbtest"
	"github.com/outhook/outhook/internal/signature"
)

const (
	unitsDir     = "../../deploy/systemd"
	manifestsDir = "../../deploy/kubernetes"
)

// deployed is a process of a deployment.
type deployed struct {
	args  []string
	env   map[string]string
	grace time.Duration // from the signal to the kill
}

// deployment is its processes, by what they are called everywhere: migrate, api and worker.
type deployment map[string]deployed

// secretFiles writes what docs/deploy.md has people write, all for one database, and returns the folder.
func secretFiles(t *testing.T, url string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"owner-database-url": url, "api-database-url": url, "worker-database-url": url,
		"api-key": testAPIKey, "encryption-key": signature.NewKey(), "log-level": "info",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content+"\n"), 0o600))
	}
	return dir
}

// settings reads a file of variables.
func settings(t *testing.T, path string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	found := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^#?([A-Z_]+)=(.*)$`).FindAllStringSubmatch(string(text), -1) {
		found[m[1]] = m[2] // those that are commented out too
	}
	require.NotEmpty(t, found)
	return found
}

// units reads the units of systemd, with their secrets in a folder.
func units(t *testing.T, secrets string) deployment {
	t.Helper()
	found := deployment{}
	for _, name := range []string{"migrate", "api", "worker"} {
		text, err := os.ReadFile(filepath.Join(unitsDir, "outhook-"+name+".service"))
		require.NoError(t, err)
		d, credentials := deployed{env: map[string]string{}}, map[string]string{}
		for _, m := range regexp.MustCompile(`(?m)^([A-Za-z]+)=(.*)$`).FindAllStringSubmatch(string(text), -1) {
			switch value := m[2]; m[1] {
			case "ExecStart":
				command := strings.Fields(value)
				require.Equal(t, "/usr/local/bin/outhook", command[0])
				d.args = command[1:]
			case "LoadCredential":
				id, path, _ := strings.Cut(value, ":")
				credentials["%d/"+id] = path
			case "Environment":
				variable, setting, _ := strings.Cut(value, "=")
				if strings.HasPrefix(setting, "%d/") {
					require.Contains(t, credentials, setting, name)
					setting = credentials[setting]
				}
				d.env[variable] = strings.ReplaceAll(setting, "/etc/outhook/", secrets+"/")
			case "EnvironmentFile":
				require.Equal(t, "/etc/outhook/outhook.env", value)
				maps.Copy(d.env, settings(t, filepath.Join(unitsDir, "outhook.env")))
			case "TimeoutStopSec":
				d.grace, err = time.ParseDuration(value + "s")
				require.NoError(t, err)
			}
		}
		found[name] = d
	}
	return found
}

// manifest is what we read of one of Kubernetes; deploy/kubernetes checks all of it.
type manifest struct {
	Kind     string
	Metadata struct{ Name string }
	Spec     struct {
		Template struct {
			Spec struct {
				Grace      int `yaml:"terminationGracePeriodSeconds"`
				Containers []struct {
					Args    []string
					Env     []struct{ Name, Value string }
					EnvFrom []any `yaml:"envFrom"`
				}
			}
		}
	}
}

// manifests reads those of Kubernetes, with their secrets in a folder.
func manifests(t *testing.T, secrets string) deployment {
	t.Helper()
	found := deployment{}
	for name, database := range map[string]string{"migrate": "owner", "api": "api", "worker": "worker"} {
		text, err := os.ReadFile(filepath.Join(manifestsDir, name+".yaml"))
		require.NoError(t, err)
		decoder := yaml.NewDecoder(bytes.NewReader(text))
		for {
			var m manifest
			err := decoder.Decode(&m)
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err, name)
			if m.Kind != "Deployment" && m.Kind != "Job" {
				continue
			}
			require.Equal(t, "outhook-"+name, m.Metadata.Name)
			c := m.Spec.Template.Spec.Containers[0]
			d := deployed{args: c.Args, env: map[string]string{}, grace: time.Duration(m.Spec.Template.Spec.Grace) * time.Second}
			if len(c.EnvFrom) > 0 {
				d.env = settings(t, filepath.Join(manifestsDir, "outhook.env"))
			}
			for _, v := range c.Env {
				value := v.Value
				if value == "/run/secrets/outhook/database-url" {
					value = filepath.Join(secrets, database+"-database-url")
				}
				d.env[v.Name] = strings.ReplaceAll(value, "/run/secrets/outhook/", secrets+"/")
			}
			found[name] = d
		}
	}
	return found
}

// command is the process itself, with its environment and nothing else. It listens where there is room, and may deliver to
// this machine.
func (d deployed) command(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0], d.args...)
	cmd.Env = []string{runMain + "=1"}
	env := maps.Clone(d.env)
	if d.args[0] == "serve" {
		maps.Copy(env, map[string]string{
			"OUTHOOK_LISTEN": "127.0.0.1:0", "OUTHOOK_METRICS_LISTEN": "127.0.0.1:0", "OUTHOOK_SHUTDOWN_DELAY": "0s",
			"OUTHOOK_EGRESS_ALLOW": "127.0.0.0/8", "OUTHOOK_EGRESS_ALLOW_HTTP": "true", "OUTHOOK_EGRESS_PORTS": "any",
		})
	}
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	return cmd
}

// The processes of each deployment, with the arguments and variables that it gives them, migrate, serve and deliver; no
// variable is one that nothing reads, and each process stops in the time that it gets.
func TestDeploymentsDeliver(t *testing.T) {
	t.Parallel()
	for name, read := range map[string]func(*testing.T, string) deployment{"Systemd": units, "Kubernetes": manifests} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := read(t, secretFiles(t, dbtest.Empty(t)))
			require.Equal(t, []string{"api", "migrate", "worker"}, slices.Sorted(maps.Keys(d)))
			out, err := d["migrate"].command(t).CombinedOutput()
			require.NoError(t, err, string(out))

			var started []*worker
			for _, role := range []string{"api", "worker"} {
				require.Equal(t, []string{"serve", "--roles", role}, d[role].args)
				require.Greater(t, d[role].grace, server.StopTimeout+5*time.Second, role)
				w := &worker{Cmd: d[role].command(t), log: &syncBuffer{}}
				w.Stdout, w.Stderr = w.log, w.log
				require.NoError(t, w.Start())
				t.Cleanup(w.kill)
				require.Eventually(t, func() bool { return strings.Contains(w.log.String(), `"msg":"serving"`) },
					90*time.Second, 10*time.Millisecond, role)
				started = append(started, w)
			}

			receiver, got := receiveAll(t)
			status, answer := call(t, http.MethodPost, started[0].url()+"/api/endpoints", testAPIKey, `{"tenant_id": "acme", "url": "`+receiver+`"}`)
			require.Equal(t, http.StatusCreated, status, answer)
			status, answer = call(t, http.MethodPost, started[0].url()+"/api/events", testAPIKey, `{"tenant_id": "acme", "type": "a", "payload": 1}`)
			require.Equal(t, http.StatusAccepted, status, answer)
			next(t, got)

			for _, w := range started {
				require.NoError(t, w.Process.Signal(syscall.SIGTERM))
				require.NoError(t, w.Wait(), w.log.String())
				require.NotContains(t, w.log.String(), "nothing here reads")
			}
			require.NotContains(t, started[1].log.String(), "old partitions stay", "the worker has the owner's rights where it needs them")
		})
	}
}

// systemd itself finds nothing wrong with the units, and what they may do is little.
func TestUnitsHold(t *testing.T) {
	t.Parallel()
	analyze, err := exec.LookPath("systemd-analyze")
	dbtest.RequireTool(t, "systemd-analyze", err == nil)
	paths, err := filepath.Glob(filepath.Join(unitsDir, "*.service"))
	require.NoError(t, err)
	require.Len(t, paths, 3)
	dir := t.TempDir()
	var files []string
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		file := filepath.Join(dir, filepath.Base(path))
		text = bytes.ReplaceAll(text, []byte("/usr/local/bin/outhook"), []byte(os.Args[0])) // it looks for it
		require.NoError(t, os.WriteFile(file, text, 0o600))
		files = append(files, file)
	}

	out, err := exec.CommandContext(t.Context(), analyze, append([]string{"verify"}, files...)...).CombinedOutput()
	require.NoError(t, err, string(out))
	require.Empty(t, string(out))
	// From 0, which is nothing, to 100; a unit without any of this has 96.
	for _, file := range files {
		out, err := exec.CommandContext(t.Context(), analyze, "security", "--no-pager", "--offline=true", "--threshold=20", file).CombinedOutput()
		require.NoError(t, err, string(out))
	}
}

// The manifests are checked against Kubernetes' own types by a module of their own, which no importer gets.
func TestManifestsHold(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "./...")
	cmd.Dir, cmd.Env = manifestsDir, append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly")
	out, err := cmd.CombinedOutput()
	dbtest.RequireTool(t, "Go module proxy", err == nil || !strings.Contains(string(out), "dial tcp"))
	require.NoError(t, err, string(out))
}
