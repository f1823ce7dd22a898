# tools/dev fmt [--check]
# shellcheck shell=bash
# shellcheck source=tools/lib/install.sh
source "$lib/install.sh"

our_sources() { # paths, relative to the top, NUL after each
    git -C "$top" ls-files -z --cached --others --exclude-standard -- '*.cpp' '*.hpp'
}

verb_fmt() {
    local mode=(-i)
    case ${1:-} in
        '') ;;
        --check) mode=(--dry-run --Werror) ;;
        *) die "fmt: what is '$1'?" ;;
    esac
    need_packages lint
    (cd "$top" && our_sources | xargs -0 -r clang-format --style=file "${mode[@]}")
}
