# tools/dev soak memory [--nodes N] [--limit MIB] [--guest MIB] [--ops N] [--seed S]: a guest larger
# than any of its nodes, on this machine's KVM.
# shellcheck shell=bash
# shellcheck source=tools/lib/build.sh
source "$lib/build.sh"

verb_soak() {
    [ "${1:-}" = memory ] || die "soak: there is 'memory'"
    shift
    plan 2
    step "packages"
    need_packages build
    step "building the soak (build/logs/build-dev.log)"
    build_preset dev test_e2e_memory_soak
    "$top/build/dev/test/e2e/test_e2e_memory_soak" "$@"
}
