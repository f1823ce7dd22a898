# tools/dev test [--quick|--full] [ctest arguments]
# shellcheck shell=bash
# shellcheck source=tools/lib/build.sh
source "$lib/build.sh"

# One sanitizer: what runs without a guest and without DPDK's own memory tricks.
sanitized_tests() {
    local preset=$1
    step "building $preset"
    build_preset "$preset"
    step "unit and sim tests under $preset"
    logged "test-$preset" run_ctest "$preset" -L '^(unit|sim)$' -LE '^(perf|intel|kvm|e2e)$'
}

# gcc 12's ThreadSanitizer gives up where the kernel randomizes more address bits than it knows.
without_randomization() {
    if setarch -R true 2>/dev/null; then setarch -R "$@"; else "$@"; fi
}

run_ctest() {
    local preset=$1 wrapper=env
    shift
    [ "$preset" != tsan ] || wrapper=without_randomization
    "$wrapper" ctest --test-dir "$top/build/$preset" --output-on-failure --no-tests=error -j "$(nproc)" "$@"
}

# Labels that this machine or this run leaves out, as one regular expression.
left_out() {
    local labels=perf
    [ "$1" = full ] || labels+='|intel|full'
    if ! { [ -r /dev/kvm ] && [ -w /dev/kvm ]; }; then
        say "    no usable /dev/kvm here: tests labelled kvm run in the testbed only"
        labels+='|kvm'
    fi
    printf '^(%s)$' "$labels"
}

verb_test() {
    local mode=normal groups=(build run)
    case ${1:-} in
        --quick) mode=quick && shift ;;
        --full) mode=full && groups+=(intel) && shift ;;
    esac
    if [ "$mode" = quick ]; then plan 3; else plan 7; fi

    step "packages"
    need_packages "${groups[@]}"
    step "building dev (build/logs/build-dev.log)"
    build_preset dev
    if [ "$mode" = quick ]; then
        step "unit tests"
        run_ctest dev -L '^unit$' -LE "$(left_out quick)" "$@"
        return
    fi
    # First the sanitizers, so that ctest's summary of the whole run is the last thing seen.
    sanitized_tests asan-ubsan
    sanitized_tests tsan
    step "all tests"
    run_ctest dev -LE "$(left_out "$mode")" "$@"
}
