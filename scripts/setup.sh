#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# setup - installs what is missing, and nothing else. Debian 12 or 13.
#
#   scripts/setup.sh build    what `make run` and `make build` need: compiler, Meson, libraries
#   scripts/setup.sh test     the same, and clang, Python and Node packages for `make test`
#   scripts/setup.sh bench    the same as build, and nginx to compare with
#
# A second run finds everything there and takes a fraction of a second. What `test` and `bench` add
# is optional: when it cannot be installed, the tests that need it say so and are skipped; the
# reason is kept in build/setup/NAME.why.

set -eu
cd "$(dirname "$0")/.."
want=${1:-build}
state=build/setup
mkdir -p "$state"
export DEBIAN_FRONTEND=noninteractive

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

if [ "$(id -u)" = 0 ]; then
	as_root() { "$@"; }
elif command -v sudo >/dev/null 2>&1; then
	as_root() { sudo env DEBIAN_FRONTEND=noninteractive "$@"; }
else
	as_root() { say "needs root for: $*"; return 1; }
fi

is_installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null || true)" = installed ]
}

missing_of() {
	for package in "$@"; do
		is_installed "$package" || printf '%s ' "$package"
	done
}

updated=no
update_lists() {
	[ "$updated" = no ] || return 0
	as_root apt-get update -q >"$state/apt.log" 2>&1 || {
		tail -n 5 "$state/apt.log" >&2
		return 1
	}
	updated=yes
}

# Installs packages; shows apt's words only when it fails.
install() {
	say "installing: $*"
	update_lists || return 1
	as_root apt-get install -q -y --no-install-recommends "$@" >"$state/apt.log" 2>&1 || {
		tail -n 15 "$state/apt.log" >&2
		return 1
	}
}

# The running release's own entry in the machine's apt sources, as "URI<tab>SIGNED-BY".
own_mirror() {
	codename=$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")
	{
		for file in /etc/apt/sources.list.d/*.sources; do
			[ -f "$file" ] || continue
			sed '/^[[:space:]]*#/d' "$file"
			echo
		done | awk -v RS= -v codename="$codename" '{
			uri = suites = signed = types = ""; enabled = 1
			n = split($0, lines, "\n")
			for (i = 1; i <= n; i++) {
				value = lines[i]; sub(/^[^:]*:[ \t]*/, "", value)
				key = tolower(lines[i]); sub(/:.*/, "", key)
				if (lines[i] ~ /^[ \t]/) continue
				if (key == "uris") { split(value, a, /[ \t]+/); uri = a[1] }
				if (key == "suites") suites = " " value " "
				if (key == "types") types = " " value " "
				if (key == "signed-by") signed = value
				if (key == "enabled" && tolower(value) == "no") enabled = 0
			}
			if (enabled && types ~ / deb / && index(suites, " " codename " "))
				print uri "\t" signed
		}'
		for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
			[ -f "$file" ] || continue
			awk -v codename="$codename" '$1 == "deb" {
				signed = ""; line = $0; sub(/^deb[ \t]+/, "", line)
				if (line ~ /^\[/) {
					options = line; sub(/\].*/, "", options); sub(/^[^\]]*\][ \t]*/, "", line)
					if (match(options, /signed-by=[^ \t]+/))
						signed = substr(options, RSTART + 10, RLENGTH - 10)
				}
				split(line, a, /[ \t]+/)
				if (a[2] == codename) print a[1] "\t" signed
			}' "$file"
		done
	} | head -n 1
}

# llhttp and yyjson are packages of Debian 13. They need nothing newer than Debian 12's libc, so an
# older release takes these two, and only these, from that suite of the mirror it already uses.
add_trixie() {
	mirror=$(own_mirror)
	[ -n "$mirror" ] || die "no entry for this release in the apt sources: add libyyjson-dev and libllhttp-dev by hand"
	uri=${mirror%%	*}
	signed=${mirror#*	}
	case $signed in
	/*) ;;
	*) signed=/usr/share/keyrings/debian-archive-keyring.gpg ;;
	esac
	say "taking libyyjson and libllhttp from Debian 13 on the same mirror"
	printf 'Package: *\nPin: release n=trixie\nPin-Priority: -1\n\nPackage: libyyjson* libllhttp*\nPin: release n=trixie\nPin-Priority: 500\n' |
		as_root tee /etc/apt/preferences.d/sluice-trixie >/dev/null
	printf 'Types: deb\nURIs: %s\nSuites: trixie\nComponents: main\nSigned-By: %s\n' "$uri" "$signed" |
		as_root tee /etc/apt/sources.list.d/sluice-trixie.sources >/dev/null
	updated=no
}

has_candidate() {
	candidate=$(apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: //p')
	[ -n "$candidate" ] && [ "$candidate" != "(none)" ]
}

setup_build() {
	[ -f /etc/debian_version ] || {
		say "this is not Debian: the packages must be there already"
		return 0
	}
	needed=$(missing_of build-essential meson ninja-build pkg-config python3 ca-certificates curl \
		libuv1-dev libssl-dev libsqlite3-dev libpq-dev libfyaml-dev zlib1g-dev libcmocka-dev \
		libyyjson-dev libllhttp-dev)
	[ -n "$needed" ] || return 0
	case $needed in
	*libyyjson*|*libllhttp*)
		update_lists || die "apt-get update failed"
		if ! has_candidate libyyjson-dev || ! has_candidate libllhttp-dev; then
			add_trixie
		fi ;;
	esac
	# shellcheck disable=SC2086
	install $needed || die "could not install: $needed"
}

# optional NAME COMMAND...: a failure is written to NAME.why and is not the end.
optional() {
	name=$1
	shift
	if "$@"; then
		rm -f "$state/$name.why"
	else
		[ -s "$state/$name.why" ] || echo "$name could not be installed" >"$state/$name.why"
		say "$name: $(cat "$state/$name.why")"
	fi
}

setup_postgresql() {
	set -- /usr/lib/postgresql/*/bin/initdb
	[ -x "$1" ] || install postgresql
}

setup_clang() {
	if ! command -v clang >/dev/null 2>&1 || ! command -v clang-format >/dev/null 2>&1; then
		install clang clang-format || return 1
	fi
	[ -e "$(clang -print-file-name=libclang_rt.fuzzer-x86_64.a)" ] ||
		[ -e "$(clang -print-file-name=libclang_rt.fuzzer-aarch64.a)" ] ||
		[ -e "$(clang -print-file-name=libclang_rt.fuzzer.a)" ] ||
		install "libclang-rt-$(clang -dumpversion | cut -d. -f1)-dev"
}

same_as() { [ -f "$2" ] && cmp -s "$1" "$2"; }

setup_python() {
	venv=build/venv
	same_as tests/requirements.txt "$state/requirements.done" && [ -x $venv/bin/pytest ] && return 0
	is_installed python3-venv || install python3-venv || {
		echo "python3-venv could not be installed" >"$state/python.why"
		return 1
	}
	rm -rf $venv "$state/requirements.done" "$state/clients.done"
	say "installing the Python packages of tests/requirements.txt"
	for python in python3 /usr/bin/python3; do
		"$python" -m venv $venv >"$state/pip.log" 2>&1 && break
		rm -rf $venv
	done
	[ -x $venv/bin/python ] && $venv/bin/python -m pip install -q --disable-pip-version-check \
		--no-input -r tests/requirements.txt >>"$state/pip.log" 2>&1 || {
		echo "the Python packages could not be installed: $(tail -n 1 "$state/pip.log")" >"$state/python.why"
		return 1
	}
	cp tests/requirements.txt "$state/requirements.done"
}

# The frameworks need ten times what the tests themselves do: without them only their own tests are skipped.
setup_clients() {
	same_as tests/clients/requirements.txt "$state/clients.done" && return 0
	rm -f "$state/clients.done"
	[ -x build/venv/bin/pytest ] || {
		echo "build/venv is not there" >"$state/clients.why"
		return 1
	}
	say "installing the Python packages of tests/clients/requirements.txt"
	build/venv/bin/python -m pip install -q --disable-pip-version-check --no-input \
		-c tests/requirements.txt -r tests/clients/requirements.txt >"$state/clients.log" 2>&1 || {
		echo "the frameworks for Python could not be installed: $(tail -n 1 "$state/clients.log")" >"$state/clients.why"
		return 1
	}
	cp tests/clients/requirements.txt "$state/clients.done"
}

setup_node() {
	same_as tests/clients/node/package-lock.json "$state/node.done" &&
		[ -x tests/clients/node/node_modules/node/bin/node ] && return 0
	rm -f "$state/node.done"
	command -v npm >/dev/null 2>&1 || install nodejs npm || {
		echo "npm could not be installed" >"$state/node.why"
		return 1
	}
	say "installing the Node packages of tests/clients/node"
	(cd tests/clients/node && npm ci --no-audit --no-fund --loglevel=error) >"$state/npm.log" 2>&1 </dev/null &&
		tests/clients/node/node_modules/node/bin/node --version >>"$state/npm.log" 2>&1 || {
		echo "the Node packages could not be installed: $(tail -n 1 "$state/npm.log")" >"$state/node.why"
		return 1
	}
	cp tests/clients/node/package-lock.json "$state/node.done"
}

setup_openssl() {
	command -v openssl >/dev/null 2>&1 || install openssl
}

# nginx is unpacked, not installed: installing it would start a web server on this machine.
setup_nginx() {
	command -v nginx >/dev/null 2>&1 && return 0
	[ -x /usr/sbin/nginx ] || [ -x build/nginx/usr/sbin/nginx ] && return 0
	say "unpacking Debian's nginx into build/nginx"
	update_lists || return 1
	mkdir -p build/nginx
	(cd build/nginx && apt-get download nginx && dpkg -x nginx_*.deb .) >"$state/apt.log" 2>&1
}

setup_build
case $want in
build) ;;
test)
	optional clang setup_clang
	optional postgresql setup_postgresql
	optional openssl setup_openssl
	optional python setup_python
	optional clients setup_clients
	optional node setup_node
	;;
bench)
	optional nginx setup_nginx
	;;
*)
	die "what should be set up? build, test or bench" ;;
esac
