#!/bin/sh
# Boots Linux over two nodes again and again, has it compute on all CPUs while vCPUs are shipped to
# and fro, and checks what it found. Runs in a testbed machine (busybox sh).
# Usage: linux_runs.sh RUNS SHIPS [OPTION OF guest_xml.sh]...
set -eu

runs=$1 ships=$2
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The job is repeated for a time that suffices for the ships.
guest_xml.sh --append "vsmp.job=report,sha,atomics,wait vsmp.rounds=$((1 + ships / 8))" "$@" >"$work/guest.xml"
cpus=$(sed -n "s/.*<vcpu[^>]*>\([0-9]*\)<.*/\1/p" "$work/guest.xml")

# The guest's last vCPU goes to node 0 and back. A ship is refused while the last one is under way,
# and fails when the guest has ended.
ship_to_and_fro() { # COUNT
    done=0
    while [ "$done" -lt "$1" ] && [ ! -e "$work/jobs-done" ]; do
        if vsmpctl ship $((cpus - 1)) $((done % 2)) 2>/dev/null >&2; then
            done=$((done + 1))
            echo "$done" >"$work/shipped"
        fi
    done
    touch "$work/ships-done"
}

on_line() { # LINE of the guest's console
    case $1 in
        *"VSMP-JOB sha started"*) ship_to_and_fro "$ships" & ;;
        *"VSMP-JOB wait started"*)
            touch "$work/jobs-done"
            vsmpctl stats >"$work/stats" 2>&1 || true
            vsmpctl stats --json >"$work/stats.json" 2>/dev/null || true
            echo go >"$work/input"
            ;;
    esac
}

# Of the numbers that all nodes have under this name in the last run's statistics.
print_distribution() { # FIELD WHAT
    tr -d ' \n' <"$work/stats.json" | grep -o "\"$1\":\[[0-9,]*\]" | grep -o '[0-9]*' | sort -n |
        awk -v what="$2" '{ v[NR] = $1 } function at(p) { return v[int((NR - 1) * p / 100) + 1] }
            END { if (NR) printf "%s: min %d, median %d, p90 %d, p99 %d, max %d (%d ships)\n", what, v[1], at(50), at(90), at(99), v[NR], NR }'
}

# True when the guest of this run did what it should.
good() {
    for job in report sha atomics wait; do
        grep -q "^VSMP-JOB $job ok" "$work/console" || return 1
    done
    grep -q "^VSMP-REPORT cpus $cpus\$" "$work/console" &&
        grep -q '^VSMP-REPORT nodes 2$' "$work/console" && [ "$(cat "$work/status")" = 0 ]
}

failed=0
mkfifo "$work/input"
run=1
while [ "$run" -le "$runs" ]; do
    rm -f "$work/jobs-done" "$work/ships-done" "$work/stats"
    echo 0 >"$work/shipped"
    exec 3<>"$work/input"
    {
        vsmp-run --spread-after 'VSMP-GUEST up' "$work/guest.xml" <&3 2>"$work/errors" && status=0 || status=$?
        echo "$status" >"$work/status"
    } | tr -d '\r' | tee "$work/console" | while IFS= read -r line; do on_line "$line"; done
    wait
    exec 3>&-
    times=$(sed -n 's/^VSMP-GUEST up \(.*\)/up \1/p; s/^VSMP-JOB \(sha\|atomics\) ok from \(.*\)/\1 \2/p' "$work/console" | tr '\n' ',')
    if good; then
        echo "run $run of $runs ok: $(cat "$work/shipped") ships, $times"
    else
        failed=$((failed + 1))
        echo "run $run of $runs FAILED with status $(cat "$work/status"), $times"
        cat "$work/errors"
        tail -n 25 "$work/console"
    fi
    if [ "$run" = "$runs" ]; then
        cat "$work/stats"
        print_distribution ship_frame_bytes 'ship frame bytes'
        print_distribution ship_blackout_us 'ship blackout us'
    fi
    run=$((run + 1))
done
echo "$((runs - failed)) of $runs runs ok"
[ "$failed" = 0 ]
