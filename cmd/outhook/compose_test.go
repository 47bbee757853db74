package main

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/outhook/outhook/cmd/outhook/internal/server"
	"github.com/outhook/outhook/internal/dbtest"
)

const (
	composeFile     = "../../compose.yaml"
	dockerfile      = "../../Dockerfile"
	environmentFile = "../../.env.example"
	rolesFile       = "../../deploy/postgres/roles.sql"
)

// service is what we read of one in compose.yaml. Its members are named as Compose has them.
type service struct {
	Image       string
	User        string
	Command     []string
	Environment map[string]*string
	Ports       []string
	More        map[string]any `yaml:",inline"`
}

func services(t *testing.T, text []byte) map[string]service {
	t.Helper()
	var file struct{ Services map[string]service }
	require.NoError(t, yaml.Unmarshal(text, &file))
	require.NotEmpty(t, file.Services)
	return file.Services
}

func composed(t *testing.T) map[string]service {
	t.Helper()
	text, err := os.ReadFile(composeFile)
	require.NoError(t, err)
	require.NotRegexp(t, `(?m)^ +(cap_add|privileged|devices|network_mode|pid|ipc|userns_mode):`, string(text))
	return services(t, text)
}

// composeSecrets are what compose.yaml does not start without.
func composeSecrets() []string {
	return []string{
		"POSTGRES_PASSWORD", "POSTGRES_OWNER_PASSWORD", "POSTGRES_API_PASSWORD", "POSTGRES_WORKER_PASSWORD",
		"OUTHOOK_API_KEY", "OUTHOOK_ENCRYPTION_KEY",
	}
}

func TestComposeConfinesEveryService(t *testing.T) {
	t.Parallel()
	for name, s := range composed(t) {
		require.Equal(t, true, s.More["read_only"], name)
		require.Equal(t, []any{"ALL"}, s.More["cap_drop"], name)
		require.Equal(t, []any{"no-new-privileges:true"}, s.More["security_opt"], name)
		for _, port := range s.Ports {
			require.Regexp(t, `^127\.0\.0\.1:`, port, name)
		}
		require.Regexp(t, `^(outhook:\$\{OUTHOOK_VERSION:-dev\}|[a-z/]+:v?[0-9][0-9.]*(@sha256:[0-9a-f]{64})?)$`, s.Image, name)
	}
	require.Equal(t, "postgres", composed(t)["postgres"].User)
}

// No container takes the machine: not its memory, not its disk by what it prints, and none but the database its processors.
func TestComposeLimitsEveryService(t *testing.T) {
	t.Parallel()
	for name, s := range composed(t) {
		var more struct {
			Logging struct {
				Driver  string
				Options map[string]string
			}
			Deploy struct {
				Resources struct{ Limits map[string]string }
			}
		}
		text, err := yaml.Marshal(s.More)
		require.NoError(t, err)
		require.NoError(t, yaml.Unmarshal(text, &more))
		require.Equal(t, "json-file", more.Logging.Driver, name)
		require.Equal(t, map[string]string{"max-size": "20m", "max-file": "5"}, more.Logging.Options, name)
		limits := more.Deploy.Resources.Limits
		require.Regexp(t, `^(\$\{[A-Z_]+:-)?[0-9]+[mg]\}?$`, limits["memory"], name)
		if name == "postgres" {
			require.NotContains(t, limits, "cpus")
		} else {
			require.Regexp(t, `^(\$\{[A-Z_]+:-)?1\}?$`, limits["cpus"], "more than a small machine has is an error of Docker's")
		}
	}
}

// A process is given the time that it takes to stop, and everybody is told the same.
func TestComposeWaitsForAStop(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/operations.md")
	require.NoError(t, err)
	for _, name := range []string{"api", "worker"} {
		grace, err := time.ParseDuration(composed(t)[name].More["stop_grace_period"].(string))
		require.NoError(t, err)
		require.Greater(t, grace, server.StopTimeout+5*time.Second, name)
		require.Contains(t, string(page), fmt.Sprintf("a grace period of %.0f s", grace.Seconds()))
	}
	require.Contains(t, string(page), fmt.Sprintf("within %.0f s", (server.StopTimeout+time.Second).Seconds()))
}

// Every setting of serve can be given in .env, to the process that it is for, and the database's logins are three.
func TestComposePassesEverySetting(t *testing.T) {
	t.Parallel()
	list := composed(t)
	passed := map[string]bool{}
	for _, name := range []string{"api", "worker"} {
		require.Equal(t, []string{"serve", "--roles", name}, list[name].Command)
		for variable := range list[name].Environment {
			passed[variable] = true
		}
	}
	passed["OUTHOOK_ROLES"] = true // as the argument
	known := variables(model(t))
	for variable, settings := range known {
		ofServe := slices.ContainsFunc(settings, func(s *setting) bool { return s.command == "serve" })
		require.Equal(t, ofServe, passed[variable], variable)
	}
	for variable := range passed {
		if strings.HasPrefix(variable, variablePrefix) {
			require.Contains(t, known, variable)
		}
	}
	require.NotContains(t, list["worker"].Environment, "OUTHOOK_API_KEY")
	require.NotContains(t, list["api"].Environment, "OUTHOOK_OWNER_DATABASE_URL")

	// The example names only what is read, and holds no secret.
	file, err := os.ReadFile(composeFile)
	require.NoError(t, err)
	for _, m := range regexp.MustCompile(`\$\{([A-Z_]+):-`).FindAllStringSubmatch(string(file), -1) {
		passed[m[1]] = true
	}
	text, err := os.ReadFile(environmentFile)
	require.NoError(t, err)
	var secrets []string
	for _, m := range regexp.MustCompile(`(?m)^(#?)([A-Z_]+)=(.*)$`).FindAllStringSubmatch(string(text), -1) {
		if m[1] == "" {
			require.Empty(t, m[3], m[2])
			secrets = append(secrets, m[2])
			continue
		}
		require.True(t, passed[m[2]], m[2])
	}
	require.Equal(t, composeSecrets(), secrets)
}

func TestComposeHolds(t *testing.T) {
	t.Parallel()
	compose, err := exec.LookPath("docker-compose")
	dbtest.RequireTool(t, "docker-compose", err == nil)
	config := func(more ...string) ([]byte, error) {
		cmd := exec.CommandContext(t.Context(), compose, "--file", composeFile, "--env-file", environmentFile, "config")
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
		for _, secret := range composeSecrets() {
			cmd.Env = append(cmd.Env, secret+"=s3cret"+secret)
		}
		cmd.Env = append(cmd.Env, more...)
		return cmd.Output()
	}
	text, err := config("OUTHOOK_TRUSTED_PROXIES=10.0.0.0/8")
	require.NoError(t, err)
	list := services(t, text)
	require.Equal(t, "10.0.0.0/8", *list["api"].Environment["OUTHOOK_TRUSTED_PROXIES"])
	for _, name := range []string{"migrate", "api", "worker"} {
		u, err := url.Parse(*list[name].Environment["OUTHOOK_DATABASE_URL"])
		require.NoError(t, err)
		login := map[string]string{"migrate": "OWNER", "api": "API", "worker": "WORKER"}[name]
		require.Equal(t, "outhook_"+strings.ToLower(login), u.User.Username())
		require.Equal(t, "s3cretPOSTGRES_"+login+"_PASSWORD", *list[name].Environment["PGPASSWORD"])
		for variable, value := range list[name].Environment {
			require.False(t, value != nil && strings.Contains(*value, "s3cretPOSTGRES_PASSWORD"), "%s has the superuser's: %s", name, variable)
		}
	}
	_, err = config("POSTGRES_API_PASSWORD=")
	require.Error(t, err, "each secret is asked for; .ci/run tries all")
}

// An API and a worker with the logins of compose.yaml, on a server that deploy/postgres/roles.sql has set up, deliver. None of
// the logins may do more than it must, and nobody else gets in.
func TestComposeRolesDeliver(t *testing.T) {
	t.Parallel()
	psql, err := exec.LookPath("psql")
	dbtest.RequireTool(t, "psql", err == nil)
	server := startServer(t, nil)
	cmd := exec.CommandContext(t.Context(), psql, "--no-psqlrc", "--file", rolesFile, server.URL("outhook"))
	cmd.Env = append(os.Environ(), "POSTGRES_OWNER_PASSWORD=o'wner", "POSTGRES_API_PASSWORD=api", "POSTGRES_WORKER_PASSWORD=worker")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))

	as := func(login, password string) string {
		u, err := url.Parse(server.URL("outhook"))
		require.NoError(t, err)
		u.User = url.UserPassword(login, password)
		return u.String()
	}
	owner, forAPI, forWorker := as("outhook_owner", "o'wner"), as("outhook_api", "api"), as("outhook_worker", "worker")
	out2, err := output(t, "migrate", "up", "--database-url", owner)
	require.NoError(t, err, out2)
	require.NotContains(t, out2, "CREATE ROLE", "no role is missing")

	args := serveArgs(forAPI, "--roles", "api")
	a := start(t, args...)
	base := a.address(t)
	i := slices.Index(args, "--encryption-key")
	worker := start(t, serveArgs(forWorker, "--owner-database-url", owner, "--roles", "worker", "--encryption-key", args[i+1])...)
	worker.address(t)
	receiver, got := receiveAll(t)
	status, answer := call(t, http.MethodPost, base+"/api/endpoints", testAPIKey, `{"tenant_id": "acme", "url": "`+receiver+`"}`)
	require.Equal(t, http.StatusCreated, status, answer)
	status, answer = call(t, http.MethodPost, base+"/api/events", testAPIKey, `{"tenant_id": "acme", "type": "a.b", "payload": 1}`)
	require.Equal(t, http.StatusAccepted, status, answer)
	next(t, got)

	require.NoError(t, a.end(t))
	require.NoError(t, worker.end(t))
	log := a.stderr.String() + worker.stderr.String()
	require.NotContains(t, log, "permission denied")
	require.NotContains(t, log, "OUTHOOK_OWNER_DATABASE_URL", "the worker has the owner's rights where it needs them")
	requireRefused(t, forAPI)
	requireRefused(t, forWorker)
	requireNoMoreRights(t, server.URL("outhook"), as)
}

// requireNoMoreRights looks at what the roles are, and who gets in.
func requireNoMoreRights(t *testing.T, superuser string, as func(login, password string) string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), superuser)
	require.NoError(t, err)
	var rights, members string
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT coalesce(string_agg(rolname, ' '), '') FROM pg_roles WHERE rolname LIKE 'outhook%'
		AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls OR rolcanlogin <> (rolname ~ '_(owner|api|worker)$'))`).
		Scan(&rights))
	require.Empty(t, rights)
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT string_agg(member::regrole || ' in ' || roleid::regrole, ', ' ORDER BY 1)
		FROM (SELECT DISTINCT member, roleid FROM pg_auth_members WHERE member::regrole::text LIKE 'outhook%') AS m`).Scan(&members))
	require.Equal(t, "outhook_api in outhook_server, outhook_worker in outhook_server", members)
	_, err = conn.Exec(t.Context(), `CREATE ROLE stranger LOGIN PASSWORD 'stranger'`)
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))

	elsewhere, err := url.Parse(as("outhook_api", "api"))
	require.NoError(t, err)
	elsewhere.Path = "/postgres"
	for _, address := range []string{as("stranger", "stranger"), elsewhere.String()} {
		ctx, cancel := contextAfter(t)
		_, err := pgx.Connect(ctx, address)
		cancel()
		var pgErr *pgconn.PgError
		require.ErrorAs(t, err, &pgErr)
		require.Equal(t, "42501", pgErr.Code) // insufficient_privilege
	}
}

// The image runs one program, as nobody, from sources that a version names.
func TestDockerfile(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(dockerfile)
	require.NoError(t, err)
	instructions := regexp.MustCompile(`(?m)^[A-Z]+ .*$`).FindAllString(strings.ReplaceAll(string(text), "\\\n", ""), -1)
	of := func(name string) (list []string) {
		for _, i := range instructions {
			if rest, ok := strings.CutPrefix(i, name+" "); ok {
				list = append(list, rest)
			}
		}
		return list
	}
	goMod, err := os.ReadFile("../../go.mod")
	require.NoError(t, err)
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(string(goMod))
	from := of("FROM")
	require.Len(t, from, 2)
	require.Contains(t, from[0], " golang:"+version[1]+"-", "the version of go.mod")
	require.Equal(t, "scratch", from[1], "no shell, no package manager")
	require.Equal(t, []string{"65532:65532"}, of("USER"), "a number, which is not root's")
	require.Equal(t, []string{`["/outhook"]`}, of("ENTRYPOINT"), "no shell")
	require.Equal(t, []string{`["serve"]`}, of("CMD"))

	final := string(text)[strings.Index(string(text), "FROM scratch"):]
	require.NotContains(t, final, "RUN ")
	require.Less(t, strings.Index(final, "COPY "), strings.Index(final, "USER "), "what is copied belongs to root")
	for _, set := range append(of("ARG"), of("ENV")...) {
		require.NotRegexp(t, `(?i)key|password|secret|token|url`, set, "it would stay in the image's history")
	}
	for _, i := range append(of("RUN"), of("ADD")...) {
		require.NotRegexp(t, `curl|wget|https?://|apt-get|apk `, i, "nothing is downloaded whose hash go.sum does not hold")
	}
	ignored, err := os.ReadFile("../../.dockerignore")
	require.NoError(t, err)
	for _, name := range []string{".env", ".git"} {
		require.Contains(t, strings.Split(string(ignored), "\n"), name)
	}
}
