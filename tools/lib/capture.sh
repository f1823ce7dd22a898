# tools/dev capture FOLDER GUEST.xml [vsmp-run arguments]: runs the guest and writes what each node
# sends and receives to FOLDER/node-ID.pcapng; 'capture show FILE [tshark arguments]' reads one.
# shellcheck shell=bash
# shellcheck source=tools/lib/build.sh
source "$lib/build.sh"

verb_capture() {
    local folder=${1:-}
    [ -n "$folder" ] || die "capture FOLDER GUEST.xml [vsmp-run arguments], or capture show FILE"
    shift
    if [ "$folder" = show ]; then
        need_packages run
        tshark -X "lua_script:$top/tools/wireshark/vsmp.lua" -r "$@"
        return
    fi
    [ -r "${1:-}" ] || die "capture: cannot read '${1:-}'; capture FOLDER GUEST.xml [vsmp-run arguments]"
    mkdir -p "$folder" || die "capture: cannot make the folder '$folder'"
    plan 2
    step "packages"
    need_packages build run
    step "building release (build/logs/build-release.log)"
    build_preset release vsmp-run vsmp-node
    "$top/build/release/bin/vsmp-run" --capture "$folder" "$@"
}
