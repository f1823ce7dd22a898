# tools/dev sim [SEED..]: model checks and simulations; with seeds, only the simulations of those.
# tools/dev sim --nodes N [--json] [--plot FILE]: what the coherence protocol costs at 2 to N nodes.
# shellcheck shell=bash
# shellcheck source=tools/lib/test.sh
source "$lib/test.sh"

# Each simulation has its own main(), which takes --seed.
one_seed() { # SEED
    local tests=$top/build/dev/test
    "$tests/page_fault_broker/test_coherence_sim" --gtest_filter='Simulation.KeepsMemory*' --seed "$1"
    "$tests/dpdk_transport/test_fabric_sim" --seed "$1"
}

# Every model says how many states it visited; this is how many they are together.
all_states() {
    awk '/ states, .* transitions/ { for (i = 2; i <= NF; ++i) if ($i == "states,") { n += $(i - 1); ++m } }
         END { if (m) printf "model checks: %d states in %d models\n", n, m }'
}

verb_sim() {
    local seed
    if [[ ${1:-} == --* ]]; then
        plan 2
        step "packages"
        need_packages build
        step "building the simulator (build/logs/build-dev.log)"
        build_preset dev coherence_scale
        "$top/build/dev/test/page_fault_broker/coherence_scale" "$@"
        return
    fi
    for seed in "$@"; do
        [[ $seed =~ ^[0-9]+$ ]] || die "sim: '$seed' is not a seed"
    done
    plan 2
    step "packages"
    need_packages build
    step "building dev"
    build_preset dev
    if [ $# = 0 ]; then
        run_ctest dev -L '^sim$' --verbose | tee "$logs/sim.log"
        all_states <"$logs/sim.log"
        return
    fi
    for seed in "$@"; do
        one_seed "$seed"
    done
}
