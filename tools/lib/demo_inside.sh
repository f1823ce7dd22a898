#!/bin/sh
# The demo itself: runs where the nodes run, in a testbed machine (busybox sh) or on a host with
# hardware virtualization. Wants vsmp-run and vsmpctl in PATH. Usage: demo_inside.sh [--console]
#   VSMP_XML, VSMP_KERNEL, VSMP_INITRD: the guest (defaults: as the testbed has them)
#   VSMP_ROUNDS: how often the guest repeats its parallel job
#   VSMP_HOLD_US: hold time; an emulated machine needs a long one to wake a thread meanwhile
set -eu

xml=${VSMP_XML:-/usr/share/vsmp/examples/two-nodes.xml}
kernel=${VSMP_KERNEL:-/var/lib/vsmp/boot/vmlinuz}
initrd=${VSMP_INITRD:-/var/lib/vsmp/boot/initrd.img}
rounds=${VSMP_ROUNDS:-1}
hold=${VSMP_HOLD_US:-10000}

run_guest() { # JOBS: console on our streams
    vsmp-run --local 2 --hold "$hold" --kernel "$kernel" --initrd "$initrd" --spread-after 'VSMP-GUEST up' \
        --append "vsmp.job=$1 vsmp.rounds=$rounds" "$xml"
}

if [ "${1:-}" = --console ]; then
    echo "A guest on two nodes. Ctrl-] ends it; 'exit' in its shell powers it off."
    run_guest report,shell
    exit
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
heading() { printf '\n== %s\n' "$*"; }

# A ship is refused while the vCPU is still on its way; it arrives within a bounded time.
ship() { # VCPU NODE
    tries=0
    until vsmpctl ship "$1" "$2" 2>"$work/why"; do
        tries=$((tries + 1))
        if [ $tries -ge 50 ]; then
            echo "ship of vCPU $1 to node $2 failed: $(cat "$work/why")"
            echo failed >"$work/ships"
            return
        fi
        sleep 0.2
    done
    echo "-- vCPU $1 shipped to node $2 while it computes"
}

on_line() { # LINE of the guest's console
    case $1 in
        "VSMP-JOB sha started"*)
            ship 1 0
            ship 1 1
            ;;
        "VSMP-JOB wait started"*)
            vsmpctl status >"$work/status" 2>&1 || true
            vsmpctl stats >"$work/stats" 2>&1 || true
            echo go >"$work/input"
            ;;
    esac
}

heading "One Linux over two nodes: $xml"
mkfifo "$work/input"
# Open for both, so that neither side's opening waits for the other and the guest sees no end.
exec 3<>"$work/input"
{
    run_guest report,sha,atomics,wait <&3 || echo $? >"$work/guest-status"
} | tr -d '\r' | tee "$work/console" | while IFS= read -r line; do
    printf '   %s\n' "$line"
    on_line "$line"
done

heading "Counters of each node"
cat "$work/status" "$work/stats" 2>/dev/null || echo "none: the guest ended too early"

heading "Result"
problems=
for job in report sha atomics; do
    grep -q "^VSMP-JOB $job ok" "$work/console" || problems="$problems job-$job"
done
for what in "cpus 2" "nodes 2"; do
    grep -q "^VSMP-REPORT $what\$" "$work/console" || problems="$problems guest-without-$what"
done
[ ! -e "$work/ships" ] || problems="$problems ships"
[ ! -e "$work/guest-status" ] || problems="$problems vsmp-run-status-$(cat "$work/guest-status")"
if [ -n "$problems" ]; then
    echo "demo FAILED:$problems"
    exit 1
fi
echo "demo ok: an unmodified Debian kernel computed on two nodes and a vCPU moved there and back"
