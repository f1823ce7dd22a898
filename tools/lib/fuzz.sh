# tools/dev fuzz [SECONDS]
# shellcheck shell=bash
# shellcheck source=tools/lib/build.sh
source "$lib/build.sh"

fuzz_one() { # PROGRAM SECONDS
    local name=${1##*/} corpus findings=$top/build/fuzz-findings seeds=() words=()
    corpus=$top/build/fuzz-corpus/$name
    mkdir -p "$corpus" "$findings"
    # Seeds that the repository keeps, read only: what is found goes to the first directory.
    mapfile -t seeds < <(find "$top/test" -type d -path "*/corpus/$name")
    # Words of a text format, which random bytes hardly ever make.
    mapfile -t words < <(find "$top/test" -path "*/corpus/$name.dict")
    logged "$name" timeout $(($2 + 120)) "$1" -max_total_time="$2" -timeout=10 -rss_limit_mb=2048 \
        -print_final_stats=1 -artifact_prefix="$findings/$name-" "${words[@]/#/-dict=}" \
        "$corpus" "${seeds[@]}"
    say "    $(sed -n 's/^stat::number_of_executed_units: */executions: /p' "$logs/$name.log")"
}

verb_fuzz() {
    local seconds=${1:-60} targets target
    [[ $seconds =~ ^[1-9][0-9]*$ ]] || die "fuzz: '$seconds' is not a number of seconds"
    plan 2
    step "packages"
    need_packages build fuzz
    step "building the fuzz targets (build/logs/build-fuzz.log)"
    (cd "$top" && logged configure-fuzz cmake --preset fuzz)
    mapfile -t targets < <(ninja -C "$top/build/fuzz" -t targets all |
        sed -n 's/^\(fuzz_[A-Za-z0-9_]*\): phony$/\1/p' | sort -u)
    [ "${#targets[@]}" != 0 ] || die "there is no fuzz target"
    build_preset fuzz "${targets[@]}"
    plan "${#targets[@]}"
    for target in "${targets[@]}"; do
        step "$target for $seconds s"
        fuzz_one "$(find "$top/build/fuzz" -type f -executable -name "$target")" "$seconds"
    done
    say "no findings"
}
