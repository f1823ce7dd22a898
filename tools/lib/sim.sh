# tools/dev sim [SEED..]: model checks and simulations; a seed repeats one simulation.
# shellcheck shell=bash
# shellcheck source=tools/lib/test.sh
source "$lib/test.sh"

verb_sim() {
    local seed
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
        [[ $seed =~ ^[0-9]+$ ]] || die "sim: '$seed' is not a seed"
        VSMP_SIM_SEED=$seed run_ctest dev -L '^sim$' --verbose
    done
}
