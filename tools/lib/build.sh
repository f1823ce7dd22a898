# tools/dev build [PRESET] [TARGET..]
# shellcheck shell=bash
# shellcheck source=tools/lib/install.sh
source "$lib/install.sh"

# build_preset PRESET [TARGET..]: configures when needed, then builds. One at a time: ninja does not
# expect company in its directory.
build_preset() { with_lock "$top/build/$1.lock" configure_and_build "$@"; }

configure_and_build() {
    local preset=$1 dir=$top/build/$1 target
    local args=(--build "$dir" -j "$(nproc)")
    shift
    for target in "$@"; do args+=(--target "$target"); done
    if [ ! -f "$dir/build.ninja" ] || [ "$top/CMakePresets.json" -nt "$dir/CMakeCache.txt" ]; then
        (cd "$top" && logged "configure-$preset" cmake --preset "$preset")
    fi
    logged "build-$preset" env NINJA_STATUS='[%f/%t] ' cmake "${args[@]}"
}

verb_build() {
    local preset=${1:-dev} groups=(build)
    [ $# = 0 ] || shift
    case $preset in
        dev | release | asan-ubsan | tsan) ;;
        fuzz) groups+=(fuzz) ;;
        *) die "there is no preset '$preset'" ;;
    esac
    plan 2
    step "packages"
    need_packages "${groups[@]}"
    step "building $preset (build/logs/build-$preset.log)"
    build_preset "$preset" "$@"
}
