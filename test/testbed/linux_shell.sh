#!/bin/sh
# Boots Linux over two nodes once, has it tell about itself and compute, uses its shell, and prints
# when it got how far and what that cost. Runs in a testbed machine (busybox sh).
# Usage: linux_shell.sh [OPTION OF guest_xml.sh]...
set -eu

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
guest_xml.sh --append 'vsmp.job=report,sha,atomics,shell' "$@" >"$work/guest.xml"
cpus=$(sed -n "s/.*<vcpu[^>]*>\([0-9]*\)<.*/\1/p" "$work/guest.xml")

started=$(cut -d. -f1 /proc/uptime)
seconds() { echo $(($(cut -d. -f1 /proc/uptime) - started)); }
note() { echo "== $*, $(seconds) s after the start"; }

on_line() { # LINE of the guest's console
    echo "$1"
    case $1 in
        "VSMP-GUEST up"*)
            note "up"
            vsmpctl stats || true
            ;;
        "VSMP-JOB sha started"*) note "told about itself" ;;
        "VSMP-JOB shell started"*)
            note "did the jobs"
            # shellcheck disable=SC2016 # for the guest's shell
            echo 'echo VSMP-SHELL cpus $(nproc)' >"$work/input"
            ;;
        "VSMP-SHELL cpus $cpus")
            note "answered in its shell"
            vsmpctl stats || true
            echo exit >"$work/input"
            ;;
    esac
}

mkfifo "$work/input"
exec 3<>"$work/input"
{
    vsmp-run --spread-after 'VSMP-GUEST up' "$work/guest.xml" <&3 && status=0 || status=$?
    echo "$status" >"$work/status"
} | tr -d '\r' | tee "$work/console" | while IFS= read -r line; do on_line "$line"; done
note "ended with status $(cat "$work/status")"
for job in report sha atomics shell; do
    grep -q "^VSMP-JOB $job ok" "$work/console" || { echo "FAILED: the guest's job $job" && exit 1; }
done
for line in "VSMP-REPORT cpus $cpus" "VSMP-REPORT nodes 2" "VSMP-SHELL cpus $cpus"; do
    grep -qx "$line" "$work/console" || { echo "FAILED: no line '$line'" && exit 1; }
done
[ "$(cat "$work/status")" = 0 ]
