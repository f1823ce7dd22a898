# tools/dev test [--quick|--full] [ctest arguments]
# shellcheck shell=bash
# shellcheck source=tools/lib/build.sh
source "$lib/build.sh"
# shellcheck source=tools/lib/kernels.sh
source "$lib/kernels.sh"

# One sanitizer: whatever runs without a guest Linux, on /dev/kvm too where there is one.
sanitized_tests() { # PRESET LABELS-TO-LEAVE-OUT
    step "building $1 (build/logs/build-$1.log)"
    build_preset "$1" vsmp_checks
    step "tests under $1 (build/logs/test-$1.log)"
    logged "test-$1" run_ctest "$1" -LE "$2"
    say "    $(grep -E '^[0-9]+% tests passed' "$logs/test-$1.log")"
}

# gcc 12's ThreadSanitizer gives up where the kernel randomizes more address bits than it knows.
without_randomization() {
    if setarch -R true 2>/dev/null; then setarch -R "$@"; else "$@"; fi
}

run_ctest() {
    local preset=$1 wrapper=env
    shift
    [ "$preset" != tsan ] || wrapper=without_randomization
    # A real kernel for the tests that load one, when it is there.
    [ ! -r "$guest_kernel_dir/vmlinuz" ] || export VSMP_TEST_KERNEL=$guest_kernel_dir/vmlinuz
    UBSAN_OPTIONS=print_stacktrace=1 "$wrapper" ctest --test-dir "$top/build/$preset" \
        --output-on-failure --no-tests=error -j "$(nproc)" "$@" </dev/null
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

# Seeds that the usual run does not come to, each for longer: about ten minutes.
long_simulation() {
    local program=$top/build/dev/test/page_fault_broker/test_coherence_sim end=$((SECONDS + 600)) seed
    step "simulations with new seeds, ten minutes (build/logs/sim-SEED.log of one that fails)"
    while [ "$SECONDS" -lt "$end" ]; do
        seed=$(((RANDOM << 15 | RANDOM) + 1000))
        logged "sim-$seed" "$program" --gtest_filter='Simulation.KeepsMemory*' --seed=$seed --events=200000
        rm -f "$logs/sim-$seed.log"
    done
}

quick_tests() {
    step "building the unit tests (build/logs/build-dev.log)"
    build_preset dev vsmp_unit_tests
    step "unit tests"
    run_ctest dev -L '^unit$' "$@"
}

verb_test() {
    local mode=normal groups=(build run) skipped sanitizer_skips
    case ${1:-} in
        --quick) mode=quick && shift ;;
        --full) mode=full && groups+=(intel) && shift ;;
    esac
    case $mode in
        quick) plan 3 ;;
        normal) plan 7 ;;
        full) plan 8 ;;
    esac

    step "packages"
    need_packages "${groups[@]}"
    if [ "$mode" = quick ]; then
        quick_tests "$@"
        return
    fi
    need_kernels
    skipped=$(left_out "$mode")
    step "building dev (build/logs/build-dev.log)"
    build_preset dev
    # First the sanitizers, so that ctest's summary of the whole run is the last thing seen. Guests on
    # /dev/kvm take long under them: only the full run has those. Of the model checks they run a
    # part (SANITIZED in test/).
    [ "$mode" = full ] && sanitizer_skips=$skipped || sanitizer_skips='^(perf|intel|full|kvm|e2e)$'
    sanitized_tests asan-ubsan "$sanitizer_skips"
    sanitized_tests tsan "$sanitizer_skips"
    [ "$mode" != full ] || long_simulation
    step "all tests"
    run_ctest dev -LE "$skipped" "$@"
}
