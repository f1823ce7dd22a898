#!/bin/sh
# How long Linux takes to boot and to do a parallel job, on one node and on two, in turn. Runs in a
# testbed machine (busybox sh). Usage: bench_boot.sh ROUNDS [--json]
set -eu

rounds=$1 format=${2:-table}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkfifo "$work/input"
exec 3<>"$work/input"

# One boot: appends "BOOT_SECONDS JOB_SECONDS FETCHES_OF_THE_JOB" to the file of this kind.
measure() { # KIND SPREAD OPTION OF guest_xml.sh...
    kind=$1 spread=$2
    shift 2
    guest_xml.sh --append 'vsmp.job=sha,wait' "$@" >"$work/guest.xml"
    fetches() { vsmpctl stats | awk '/^(read|write) fetches|^upgrades/ { for (i = 2; i <= NF; i++) n += $i } END { print n + 0 }'; }
    vsmp-run --spread "$spread" --spread-after 'VSMP-GUEST up' "$work/guest.xml" <&3 2>/dev/null |
        tr -d '\r' | while IFS= read -r line; do
        echo "$line" >>"$work/console"
        case $line in
            *'VSMP-JOB sha started'*) fetches >"$work/before" ;;
            *'VSMP-JOB wait started'*) fetches >"$work/after" && echo go >"$work/input" ;;
        esac
    done
    awk -v before="$(cat "$work/before")" -v after="$(cat "$work/after")" '
        /^VSMP-GUEST up/ { up = $3 }
        /^VSMP-JOB sha ok/ { job = $7 - $5 }
        END { print up, job, after - before }' "$work/console" >>"$work/$kind"
    rm "$work/console"
}

round=1
while [ "$round" -le "$rounds" ]; do
    measure one none --nodes 1 --vcpus 2 --mem 512
    measure together none --nodes 2 --vcpus 1 --mem 256
    measure spread round-robin --nodes 2 --vcpus 1 --mem 256
    round=$((round + 1))
done

median() { # KIND COLUMN
    cut -d' ' -f"$2" "$work/$1" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", (b > 0 ? a / b : 0) }'; }

boot=$(median one 1) job=$(median one 2)
if [ "$format" = --json ]; then
    printf '{"rounds": %s, "boot_over_one_node": %s, "job_together_over_one_node": %s, "job_spread_over_one_node": %s, "fetches_job_together": %s, "fetches_job_spread": %s}\n' \
        "$rounds" "$(ratio "$(median together 1)" "$boot")" "$(ratio "$(median together 2)" "$job")" \
        "$(ratio "$(median spread 2)" "$job")" "$(median together 3)" "$(median spread 3)"
    exit
fi
echo "Debian's kernel, 2 vCPUs, 512 MiB; medians of $rounds boots of each kind, in turn"
printf '%-38s %10s %10s %16s\n' '' boot 'sha job' 'fetches of job'
printf '%-38s %10s %10s %16s\n' 'one node' 1.00 1.00 0
printf '%-38s %10s %10s %16s\n' 'two nodes, vCPUs together on node 0' "$(ratio "$(median together 1)" "$boot")" \
    "$(ratio "$(median together 2)" "$job")" "$(median together 3)"
printf '%-38s %10s %10s %16s\n' 'two nodes, a vCPU on each' "$(ratio "$(median spread 1)" "$boot")" \
    "$(ratio "$(median spread 2)" "$job")" "$(median spread 3)"
echo "times relative to one node"
