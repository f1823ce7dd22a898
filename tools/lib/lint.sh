# tools/dev lint [--all | PATH..]
# shellcheck shell=bash
# shellcheck source=tools/lib/build.sh
source "$lib/build.sh"
# shellcheck source=tools/lib/fmt.sh
source "$lib/fmt.sh"

# What differs from main, committed or not.
changed_files() {
    local base
    base=$(git -C "$top" merge-base HEAD origin/main 2>/dev/null ||
        git -C "$top" merge-base HEAD main 2>/dev/null || echo HEAD)
    git -C "$top" diff --name-only --diff-filter=d "$base"
    git -C "$top" ls-files --others --exclude-standard
}

# Of the files on stdin, those the dev build compiles, as absolute paths.
compiled_files() {
    local commands=$top/build/dev/compile_commands.json file
    while IFS= read -r file; do
        if grep -qF "\"$top/$file\"" "$commands"; then printf '%s\n' "$top/$file"; fi
    done
}

lint_scripts() {
    local script scripts=()
    while IFS= read -r -d '' script; do
        [ -L "$top/$script" ] || [ ! -f "$top/$script" ] || ! head -n 3 "$top/$script" |
            grep -qE '^#!.*\b(sh|bash)$|shellcheck shell=' || scripts+=("$script")
    done < <(git -C "$top" ls-files -z -- tools .ci test)
    (cd "$top" && logged shellcheck shellcheck -x "${scripts[@]}")
}

# What of our .cpp files clang-tidy shall see, relative to the top.
files_to_lint() { # [--all | PATH..]
    case ${1:-} in
        '') changed_files | grep '\.cpp$' | sort -u ;;
        --all) git -C "$top" ls-files -- '*.cpp' ;;
        *) git -C "$top" ls-files --cached --others --exclude-standard -- "$@" | grep '\.cpp$' ;;
    esac
}

verb_lint() {
    local files path
    case ${1:-} in
        '' | --all) [ $# -le 1 ] || die "lint: --all or paths, not both" ;;
        *)
            for path in "$@"; do
                [ -e "$top/$path" ] || die "lint: there is no '$path'"
            done
            ;;
    esac
    plan 4
    step "packages"
    need_packages build lint
    step "shellcheck over the scripts"
    lint_scripts
    step "building dev (generated headers, compile commands)"
    build_preset dev
    mapfile -t files < <(files_to_lint "$@" | compiled_files)
    step "clang-tidy over ${#files[@]} files (build/logs/clang-tidy.log)"
    [ "${#files[@]}" != 0 ] || return 0
    # Its standard error is a count of warnings in system headers.
    # shellcheck disable=SC2016 # the inner shell expands these
    logged clang-tidy xargs -a <(printf '%s\0' "${files[@]}") -0 -n 1 -P "$(nproc)" \
        sh -c 'exec clang-tidy-16 -p "$0" --quiet "$1" 2>/dev/null' "$top/build/dev"
}
