# tools/dev locality {record,replay,explain,compare,plot} ...: ship-or-fetch policies, on traces and on
# simulated guests. `record DIRECTORY -- COMMAND` records what nodes do that COMMAND starts (on this
# host, the command and all); else it is vsmp-locality's, see --help. docs/locality.md has examples.
# shellcheck shell=bash
# shellcheck source=tools/lib/build.sh
source "$lib/build.sh"

verb_locality() {
    plan 2
    step "packages"
    need_packages build
    step "building release (build/logs/build-release.log)"
    (cd "$top" && logged configure-release cmake --preset release)
    build_preset release vsmp-locality
    if [ "${1:-}" = record ] && [ "${3:-}" = -- ]; then
        mkdir -p "$2"
        VSMP_LOCALITY_TRACE=$(readlink -f "$2")
        export VSMP_LOCALITY_TRACE
        shift 3
        "$@"
        return
    fi
    "$top/build/release/bin/vsmp-locality" "$@"
}
