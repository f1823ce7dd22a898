#!/bin/sh
# Runs a guest whose threads walk the same page tables on two hosts, and records its nodes' faults. Runs
# in a testbed machine (busybox sh); leaves node-0.trace, node-1.trace, console and window in /out.
# Usage: walk_run.sh "OPTIONS OF vsmp-run" [OPTION OF guest_xml.sh]...
set -eu

options=$1
shift
export VSMP_LOCALITY_TRACE=/out
guest_xml.sh --hosts 2 "$@" >/tmp/guest.xml
uptime_here() { cut -d' ' -f1 /proc/uptime; }

mkfifo /tmp/input
exec 3<>/tmp/input
{
    # shellcheck disable=SC2086 # several words
    vsmp-run $options --spread-after 'VSMP-JOB walk started' /tmp/guest.xml <&3 2>/tmp/errors && status=0 || status=$?
    echo "$status" >/tmp/status
} | tr -d '\r' | while IFS= read -r line; do
    echo "$line" >>/out/console
    case $line in
        # The clocks of both hosts: host 2's is its uptime, asked for at the same moment.
        'VSMP-WALK begins') echo "$(uptime_here) $(nc 10.77.0.2 7702 </dev/null)" >/out/window ;;
        'VSMP-WALK cpu 0 '*) uptime_here >>/out/window ;;
        *'VSMP-JOB wait started'*) vsmpctl stats >/out/stats && echo go >/tmp/input ;;
    esac
done
if [ "$(cat /tmp/status)" != 0 ] || ! grep -q '^VSMP-JOB walk ok' /out/console; then
    cat /tmp/errors
    tail -n 20 /out/console
    exit 1
fi
nc 10.77.0.2 7703 </dev/null >/out/node-1.trace
