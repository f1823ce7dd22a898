# tools/dev bench NAME [--json]: runs bench_NAME of the release build; `boot` runs in the testbed.
# Standard output is the bench's alone.
# shellcheck shell=bash
# shellcheck source=tools/lib/testbed.sh
source "$lib/testbed.sh"

benches() {
    ninja -C "$top/build/release" -t targets all | sed -n 's/^bench_\([A-Za-z0-9_]*\): phony$/\1/p' |
        sort -u
    echo boot
}

verb_bench() {
    local name=${1:-} program
    if [ "$name" = boot ]; then
        shift
        verb_testbed --timeout 1200 --file "$lib/bench_boot.sh:/usr/bin/bench_boot.sh" -- bench_boot.sh 3 "$@"
        return
    fi
    case $name in *[!A-Za-z0-9_]*) die "there is no bench '$name'" ;; esac
    plan 2
    step "packages"
    need_packages build
    step "building release (build/logs/build-release.log)"
    (cd "$top" && logged configure-release cmake --preset release)
    if [ -z "$name" ]; then
        benches
        return
    fi
    benches | grep -qx -- "$name" ||
        die "there is no bench '$name'; there are: $(benches | tr '\n' ' ')"
    shift
    # Whole, because a bench starts other programs of the build.
    build_preset release
    program=$(find "$top/build/release" -type f -executable -name "bench_$name")
    "$program" "$@"
}
