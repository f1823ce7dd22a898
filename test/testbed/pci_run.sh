#!/bin/sh
# Boots Linux over two hosts whose link is a PCI network card that DPDK drives, has it compute on both,
# and looks at what a node costs while it waits. Runs in a testbed machine (busybox sh).
# Usage: pci_run.sh kernel|uio|vfio [OPTION OF guest_xml.sh]...
# kernel: the card as the interface fabric0, to compare with.
set -eu

card=0000:00:10.0
idle_seconds=10
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

case $1 in
    kernel) wanted=virtio-pci link=af_packet ;;
    uio) wanted=uio_pci_generic link=pci ;;
    vfio) wanted=vfio-pci link=pci ;;
esac
shift
driver=$(basename "$(readlink /sys/bus/pci/devices/$card/driver || echo 'no driver')")
if [ "$driver" != "$wanted" ]; then
    echo "SKIPPED: the card $card has $driver, not $wanted; the machine's log says why"
    exit 0
fi

guest_xml.sh --hosts 2 --link "$link" --append 'vsmp.job=report,sha,wait' "$@" >"$work/guest.xml"

# Interrupts of the card's receive queue, its second vector. They are gone when the node is.
interrupts() { awk -v card="$card" '/vfio-msix?\[1\]/ && index($0, card) { n += $2 + $3 } END { print n + 0 }' /proc/interrupts; }
# Clock ticks (1/100 s) that the node's data plane, the thread that waits for frames, has had.
ticks() { sed -n 's/.*(vsmp-data) //p' "/proc/$(pidof vsmp-node)/task/"*/stat | awk '{ print $12 + $13 }'; }

watch_idle() {
    sleep 2
    before=$(ticks) interrupts_before=$(interrupts)
    sleep $idle_seconds
    echo "idle for $idle_seconds s: node 0's data plane had $(($(ticks) - before))0 ms of CPU, the card's queue" \
        "$(($(interrupts) - interrupts_before)) interrupts, $interrupts_before before" >"$work/idle"
    vsmpctl stats >"$work/stats" 2>&1 || true
    echo go >"$work/input"
}

on_line() { # LINE of the guest's console
    case $1 in
        *"VSMP-JOB wait started"*)
            interrupts >"$work/interrupts"
            watch_idle &
            ;;
    esac
}

mkfifo "$work/input"
exec 3<>"$work/input"
{
    vsmp-run --spread-after 'VSMP-GUEST up' "$work/guest.xml" <&3 2>"$work/errors" && status=0 || status=$?
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
cat "$work/stats" "$work/idle" || failed="$failed idle"
[ "$(cat "$work/status")" = 0 ] || failed="$failed status"
for job in report sha wait; do grep -q "^VSMP-JOB $job ok" "$work/console" || failed="$failed $job"; done
grep -q '^VSMP-REPORT nodes 2$' "$work/console" || failed="$failed nodes"
# Under vfio the node has to sleep until the card wakes it.
[ "$wanted" != vfio-pci ] || [ "$(cat "$work/interrupts")" -gt 0 ] || failed="$failed interrupts"
if [ -n "$failed" ]; then
    cat "$work/errors"
    tail -n 25 "$work/console"
    echo "FAILED:$failed"
    exit 1
fi
echo "pci ok"
