# Debian packages the project needs; nothing is touched when all are there.
# shellcheck shell=bash

# Lines of the wanted groups in tools/packages.txt, comments taken off.
packages_of() {
    awk -v wanted=" $* " '
        /^\[/ { group = $0; gsub(/[][]/, "", group); next }
        { sub(/#.*/, "") }
        NF && index(wanted, " " group " ") { print $1 }' "$top/tools/packages.txt"
}

missing_packages() {
    local package
    for package in $(packages_of "$@" | sort -u); do
        case $(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null) in
            ii* | hi*) ;;
            *) printf '%s\n' "$package" ;;
        esac
    done
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        env DEBIAN_FRONTEND=noninteractive "$@"
    elif command -v sudo >/dev/null; then
        sudo env DEBIAN_FRONTEND=noninteractive "$@"
    else
        die "packages are missing and neither root nor sudo is at hand: $*"
    fi
}

# need_packages GROUP..: installs what is missing of these groups.
need_packages() {
    local missing apt=(apt-get -q -y -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3)
    command -v apt-get >/dev/null || die "this needs a Debian 12 machine (no apt-get here)"
    mapfile -t missing < <(missing_packages "$@")
    [ "${#missing[@]}" != 0 ] || return 0
    say "    installing ${#missing[@]} packages: ${missing[*]}"
    logged apt-update as_root "${apt[@]}" update
    logged apt-install as_root "${apt[@]}" install --no-install-recommends "${missing[@]}"
}

verb_install() {
    [ $# != 0 ] || set -- build run
    plan 1
    step "packages: $*"
    need_packages "$@"
}
