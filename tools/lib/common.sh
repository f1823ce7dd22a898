# Sourced by every verb: places, messages, logged steps, cleanup. $top and $lib come from tools/dev.
# shellcheck shell=bash

logs=$top/build/logs
# Shared by all clones of one user on this machine: kernel packages, which are large.
user_cache=${XDG_CACHE_HOME:-$HOME/.cache}/vsmp

say() { printf '%s\n' "$*" >&2; }
die() {
    printf 'tools/dev: %s\n' "$*" >&2
    exit 1
}

# plan N: the verb has N steps; step TEXT then prints "[k/N] TEXT".
steps_total=0 steps_done=0
plan() { steps_total=$((steps_total + $1)); }
step() {
    steps_done=$((steps_done + 1))
    say "[$steps_done/$steps_total] $*"
}

# Shows that something moves: rewrites one line on a terminal, else prints a line now and then.
show_progress() {
    local line shown=$SECONDS
    if [ -t 2 ]; then
        while IFS= read -r line || [ -n "$line" ]; do
            printf '\r\033[K    %.100s' "${line//$'\r'/}" >&2
        done
        printf '\r\033[K' >&2
        return
    fi
    while IFS= read -r line || [ -n "$line" ]; do
        if [ $((SECONDS - shown)) -ge 10 ]; then
            shown=$SECONDS
            printf '    %.100s\n' "$line" >&2
        fi
    done
}

# logged NAME COMMAND..: the whole output goes to build/logs/NAME.log; on failure its end is shown.
logged() {
    local name=$1 status=0
    shift
    mkdir -p "$logs"
    { "$@" 2>&1 || exit $?; } </dev/null | tee "$logs/$name.log" | show_progress || status=$?
    if [ "$status" != 0 ]; then
        say "--- end of build/logs/$name.log"
        tail -n 40 "$logs/$name.log" >&2
        say "--- failed (status $status): $*"
        return "$status"
    fi
}

# at_exit COMMAND..: runs when the tool ends, however it ends; the last one registered runs first.
exit_commands=()
at_exit() { exit_commands=("$(printf '%q ' "$@")" "${exit_commands[@]}"); }
run_exit_commands() {
    local status=$? command
    trap - EXIT
    trap '' INT TERM HUP
    for command in "${exit_commands[@]}"; do
        eval "$command" || true
    done
    exit "$status"
}
trap run_exit_commands EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# The same bytes give the same name: what caches are keyed by. Arguments: files, or - for stdin.
content_key() { cat -- "$@" | sha256sum | cut -c1-16; }

# with_lock FILE COMMAND..: one at a time on this machine. COMMAND is not called with || behind it,
# because bash would then go on after errors inside it.
with_lock() {
    local file=$1 fd
    shift
    mkdir -p "$(dirname "$file")"
    exec {fd}>"$file"
    flock -w 900 "$fd" || die "waited 15 minutes for another process that holds $file"
    "$@"
    exec {fd}>&-
}
