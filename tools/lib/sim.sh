# tools/dev sim [SEED..]: model checks and simulations; with seeds, only the simulations of those.
# shellcheck shell=bash
# shellcheck source=tools/lib/test.sh
source "$lib/test.sh"

# Each simulation has its own main(), which takes --seed.
one_seed() { # SEED
    local tests=$top/build/dev/test
    "$tests/page_fault_broker/test_coherence_sim" --gtest_filter='Simulation.KeepsMemory*' --seed "$1"
    "$tests/dpdk_transport/test_fabric_sim" --seed "$1"
}

verb_sim() {
    local seed
    for seed in "$@"; do
        [[ $seed =~ ^[0-9]+$ ]] || die "sim: '$seed' is not a seed"
    done
    plan 2
    step "packages"
    need_packages build
    step "building dev"
    build_preset dev
    if [ $# = 0 ]; then
        run_ctest dev -L '^sim$' --verbose
        return
    fi
    for seed in "$@"; do
        one_seed "$seed"
    done
}
