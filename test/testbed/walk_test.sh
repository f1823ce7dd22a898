#!/usr/bin/env bash
# Two vCPUs of one address space on two hosts read words at random in memory that nobody writes: how many
# faults on page-table pages that costs, with companions and read-ahead and without.
# Usage: walk_test.sh without|with|both MIB SECONDS [OPTION OF guest_xml.sh]...
set -euo pipefail

top=$(cd "$(dirname "$0")/../.." && pwd)
which=$1 mib=$2 seconds=$3
shift 3
build=${VSMP_BUILD:-$top/build/dev}
out=$top/build/testbed/walk/out

run() { # "OPTIONS OF vsmp-run" [OPTION OF guest_xml.sh]...
    local options=$1
    shift
    # shellcheck disable=SC2016 # expanded in the machine
    "$top/tools/dev" testbed --no-build --preset "$(basename "$build")" --name walk --hosts 2 --smp 1 --timeout 300 \
        --file "$top/test/testbed/walk_run.sh:/usr/bin/walk_run.sh" \
        --peer 'export VSMP_LOCALITY_TRACE=/out
                nc -ll -p 7702 -e cut -d" " -f1 /proc/uptime & nc -ll -p 7703 -e cat /out/node-1.trace &
                vsmpd --listen 10.77.0.2' \
        -- walk_run.sh "$options" --append "vsmp.job=walk,wait vsmp.fill=$mib vsmp.seconds=$seconds" "$@"
}

# Lines PAGE FAULTS WRITES of both nodes while the threads ran.
faults() {
    local here there end
    read -r here there <"$out/window"
    end=$(sed -n 2p "$out/window")
    "$build/bin/vsmp-locality" pages --from "$here" --to "$end" "$out/node-0.trace"
    "$build/bin/vsmp-locality" pages --from "$there" --to "$(awk "BEGIN { print $there + $end - $here }")" \
        "$out/node-1.trace"
}

summary() { # NAME
    faults | awk -v name="$1" '
        FILENAME != "-" && /^VSMP-TABLE/ { part[$4] = $2; tables[$2]++ }
        FILENAME != "-" && /^VSMP-WALK cpu/ { touched += $5; cpu[$3] = $5; seconds = $8 }
        FILENAME == "-" { all += $2; n[part[$1] == "" ? "other" : part[$1]] += $2 }
        END {
            walk = n["root"] + n["user"]
            printf "| %s | %d, %d | %.0f | %.1f | %.1f | %.1f | %.4f |\n", name, cpu[0], cpu[1], touched / seconds,
                walk / seconds, n["kernel"] / seconds, n["other"] / seconds, (touched ? walk / touched : 0)
        }' "$out/console" -
}

echo "| $mib MiB, $seconds s | pages touched by vCPU 0, 1 | a second | faults/s on the walk's tables | on the kernel's | on other pages | walk's per touch |"
echo '|---|---|---|---|---|---|---|'
if [ "$which" != with ]; then
    run '--read-ahead 0' "$@" >&2
    summary without
fi
if [ "$which" != without ]; then
    run '--companions 48' "$@" >&2
    summary with
fi
grep -c '^VSMP-TABLE' "$out/console" | sed 's/$/ page-table pages/'
