#!/bin/sh
# How fast Linux does work of several kinds on one node, and on two: with its vCPUs together, apart,
# and where the learned policy sends them. Runs in a testbed machine (busybox sh).
# Usage: bench_linux.sh ROUNDS HOSTS table|json LOAD,LOAD..
set -eu

rounds=$1 hosts=$2 format=$3 loads=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkfifo "$work/input"
exec 3<>"$work/input"

# Over both nodes, what `vsmpctl stats` counts in the rows that match.
counted() { # PATTERN
    vsmpctl stats | awk -v row="$1" '$0 ~ row { for (i = 2; i <= NF; i++) if ($i ~ /^[0-9]+$/) n += $i } END { print n + 0 }'
}

# One boot: appends "LOAD SECONDS" lines, and "up SECONDS", "fetches N", "ships N", to KIND.
measure() { # KIND SPREAD OPTION OF guest_xml.sh...
    kind=$1 spread=$2
    shift 2
    guest_xml.sh --initrd /var/lib/vsmp/boot/loads.img \
        --append "vsmp.job=loads,wait vsmp.loads=$loads" "$@" >"$work/guest.xml"
    vsmp-run --spread "$spread" --spread-after 'VSMP-GUEST up' "$work/guest.xml" <&3 2>"$work/errors" |
        tr -d '\r' | while IFS= read -r line; do
        echo "$line" >>"$work/console"
        case $line in
            VSMP-LOAD*) echo "  $kind: $line" >&2 ;;
            *'VSMP-JOB wait started'*)
                echo "fetches $(counted '^(read|write) fetches|^upgrades')" >>"$work/$kind"
                echo "ships $(counted '^ships out')" >>"$work/$kind"
                echo go >"$work/input"
                ;;
        esac
    done
    sed -n 's/^VSMP-GUEST up \(.*\)/up \1/p; s/^VSMP-LOAD \([a-z0-9]*\) ok \(.*\)/\1 \2/p' \
        "$work/console" >>"$work/$kind"
    if ! grep -q '^VSMP-JOB loads ok' "$work/console" || grep -q '^VSMP-LOAD .* failed' "$work/console"; then
        echo "a guest of kind '$kind' failed:" >&2
        tail -n 30 "$work/console" "$work/errors" >&2
        exit 1
    fi
    rm "$work/console"
}

round=1
while [ "$round" -le "$rounds" ]; do
    echo "round $round of $rounds" >&2
    measure one none --nodes 1 --vcpus 2 --mem 512
    measure together none --nodes 2 --vcpus 1 --mem 256 --hosts "$hosts"
    measure apart round-robin --nodes 2 --vcpus 1 --mem 256 --hosts "$hosts"
    measure learned none --nodes 2 --vcpus 1 --mem 256 --hosts "$hosts" --policy learned
    round=$((round + 1))
done

median() { # KIND ROW
    sed -n "s/^$2 //p" "$work/$1" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] + 0 }'
}
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", (b > 0 ? a / b : 0) }'; }
rate_of_two() { ratio "$(awk -v t="$(median "$1" sha1)" 'BEGIN { print 2 * t }')" "$(median "$1" sha2)"; }

rows="up $(echo "$loads" | tr , ' ')"
if [ "$format" = json ]; then
    printf '{"rounds": %s, "hosts": %s, "over_one_node": {' "$rounds" "$hosts"
    comma=
    for row in $rows; do
        printf '%s"%s": {' "$comma" "$row"
        printf '"together": %s, ' "$(ratio "$(median together "$row")" "$(median one "$row")")"
        printf '"apart": %s, ' "$(ratio "$(median apart "$row")" "$(median one "$row")")"
        printf '"learned": %s}' "$(ratio "$(median learned "$row")" "$(median one "$row")")"
        comma=', '
    done
    printf '}, "rate_of_two_processes": {"one": %s, "together": %s, "apart": %s, "learned": %s}}\n' \
        "$(rate_of_two one)" "$(rate_of_two together)" "$(rate_of_two apart)" "$(rate_of_two learned)"
    exit
fi
echo "Debian's kernel, 2 vCPUs, 512 MiB, two nodes on $hosts host(s); medians of $rounds boots of each kind, in turn;"
echo "times over those of one node"
printf '%-26s %10s %10s %10s %10s\n' '' 'one node' together apart learned
for row in $rows; do
    printf '%-26s %10s' "$row" 1.00
    for kind in together apart learned; do
        printf ' %10s' "$(ratio "$(median $kind "$row")" "$(median one "$row")")"
    done
    echo
done
printf '%-26s' 'sha: rate of 2 / 1'
for kind in one together apart learned; do printf ' %10s' "$(rate_of_two $kind)"; done
echo
for row in fetches ships; do
    printf '%-26s' "$row"
    for kind in one together apart learned; do printf ' %10s' "$(median $kind $row)"; done
    echo
done
