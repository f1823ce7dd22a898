#!/bin/sh
# Runs a guest whose memory is larger than a node may have, and checks that it found its memory as it
# left it and that the nodes kept to their limits. Runs in a testbed machine (busybox sh).
# Usage: memory_run.sh LIMIT_MIB CGROUP_MIB [OPTION OF guest_xml.sh]...
set -eu

limit=$1 cgroup=$2
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
guest_xml.sh "$@" >"$work/guest.xml"

# A line for each node: resident resident_max resident_kernel limit, in pages.
look() {
    vsmpctl stats --json 2>/dev/null | tr -d ' \n' |
        grep -o '"resident":[0-9]*,"resident_max":[0-9]*,"resident_kernel":[0-9]*,"limit":[0-9]*' |
        sed 's/"[a-z_]*"://g; s/,/ /g'
}

# Until the guest waits for us: what the nodes have, again and again, one line each a look.
watch_nodes() {
    until [ -e "$work/done" ] || [ -e "$work/status" ]; do
        look | sed '=' | paste -d ' ' - - >>"$work/looks" || true
        sleep 10 # a look costs an emulated machine much
    done
    look | sed '=' | paste -d ' ' - - >>"$work/looks"
    vsmpctl stats >"$work/stats" 2>&1 || true
    { confined.sh report && nc 10.77.0.2 7701 </dev/null; } >"$work/cgroups" 2>&1 || true
    echo go >"$work/input"
}

on_line() { # LINE of the guest's console
    case $1 in
        *"VSMP-JOB memory started"*) watch_nodes & ;;
        *"VSMP-JOB wait started"*) touch "$work/done" ;;
    esac
}

# The most that was seen of each node; fails where it was more than allowed. Our own count may not
# exceed the limit, the kernel's not by more than 2%.
check_limits() {
    awk -v limit=$((limit << 8)) '
        { if ($3 > ours[$1]) ours[$1] = $3; if ($4 > kernel[$1]) kernel[$1] = $4; bad += $5 != limit; n = $1 > n ? $1 : n; looks++ }
        END {
            for (i = 1; i <= n; i++) {
                printf "node %d: most resident / limit %.2f%%, as the kernel counts %.2f%%\n", i - 1, 100 * ours[i] / limit, 100 * kernel[i] / limit
                bad += ours[i] > limit || kernel[i] > 1.02 * limit
            }
            print looks / 2 " looks"
            exit bad || n != 2
        }' "$work/looks"
}

mkfifo "$work/input"
exec 3<>"$work/input"
{
    confined.sh "$cgroup" vsmp-run --spread-after 'VSMP-JOB memory started' "$work/guest.xml" <&3 && status=0 || status=$?
    echo "$status" >"$work/status"
} | tr -d '\r' | tee "$work/console" | {
    while IFS= read -r line; do
        case $line in *VSMP-*) echo "$line" ;; esac
        on_line "$line"
    done
    wait
}
exec 3>&-
failed=
cat "$work/stats" "$work/cgroups" || true
[ "$(cat "$work/status")" = 0 ] || failed="$failed status"
for job in report memory wait; do grep -q "^VSMP-JOB $job ok" "$work/console" || failed="$failed $job"; done
grep -q '^VSMP-REPORT nodes 2$' "$work/console" || failed="$failed nodes"
grep -q '^VSMP-MEMORY .* pages, .* 0 wrong words$' "$work/console" || failed="$failed words"
check_limits || failed="$failed limits"
[ "$(grep -c 'killed 0$' "$work/cgroups")" = 2 ] || failed="$failed cgroups"
if [ -n "$failed" ]; then
    tail -n 30 "$work/console"
    echo "FAILED:$failed"
    exit 1
fi
echo "memory ok"
