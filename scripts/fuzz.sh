#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# fuzz [SECONDS] [TARGET...] - libFuzzer with ASan and UBSan over each fuzz target; new inputs go to
# build-fuzz/corpus, and what crashes to build-fuzz/crash-*.
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-30}
[ $# -eq 0 ] || shift
command -v clang >/dev/null 2>&1 || {
	echo "fuzz: clang is needed (scripts/setup.sh test installs it)" >&2
	exit 1
}
if [ ! -f build-fuzz/build.ninja ]; then
	CC=clang meson setup build-fuzz -Dfuzz=true --buildtype=debugoptimized -Doptimization=1 \
		-Db_sanitize=address,undefined -Db_lundef=false -Dc_args=-fsanitize=fuzzer-no-link
fi
targets=$*
[ -n "$targets" ] || targets=$(ninja -C build-fuzz -t targets all | sed -n 's#^tests/fuzz/fuzz_\([a-z0-9_]*\):.*#\1#p' | sort -u)
for name in $targets; do
	ninja --quiet -C build-fuzz "tests/fuzz/fuzz_$name"
	mkdir -p "build-fuzz/corpus/$name" "tests/fuzz/corpus/$name"
	words=
	[ ! -f "tests/fuzz/$name.dict" ] || words="-dict=tests/fuzz/$name.dict"
	echo "== $name"
	"build-fuzz/tests/fuzz/fuzz_$name" -max_total_time="$seconds" -max_len=65536 -print_final_stats=0 \
		-verbosity=0 -artifact_prefix=build-fuzz/ $words "build-fuzz/corpus/$name" "tests/fuzz/corpus/$name"
done
