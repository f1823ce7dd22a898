# tools/dev bench NAME [--json]: runs bench_NAME of the release build; `boot` runs in the testbed.
# Standard output is the bench's alone.
# shellcheck shell=bash
# shellcheck source=tools/lib/testbed.sh
source "$lib/testbed.sh"

benches() { # as CMake is told of them
    find "$top" -name build -prune -o -name CMakeLists.txt -print0 |
        xargs -0 sed -n 's/^add_executable(bench_\([A-Za-z0-9_]*\).*/\1/p' | sort -u
    echo boot
}

verb_bench() {
    local name=${1:-} program
    if [ -z "$name" ]; then
        benches
        return
    fi
    benches | grep -qx -- "$name" ||
        die "there is no bench '$name'; there are: $(benches | tr '\n' ' ')"
    shift
    if [ "$name" = boot ]; then
        verb_testbed --timeout 1200 --file "$lib/bench_boot.sh:/usr/bin/bench_boot.sh" -- bench_boot.sh 3 "$@"
        return
    fi
    plan 2
    step "packages"
    need_packages build
    step "building release (build/logs/build-release.log)"
    # Whole, because a bench starts other programs of the build.
    build_preset release
    program=$(find "$top/build/release" -type f -executable -name "bench_$name")
    "$program" "$@"
}
