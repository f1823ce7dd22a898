#!/bin/sh
# How much more two processes compute on two hosts than one does, or on one node. Runs in a testbed machine
# (busybox sh). Usage: rate_run.sh [OPTION OF guest_xml.sh]...
set -eu

guest_xml.sh "$@" >/tmp/guest.xml
vsmp-run --spread-after 'VSMP-JOB rate started' /tmp/guest.xml </dev/null 2>/tmp/errors | tr -d '\r' >/tmp/console
if ! grep -q '^VSMP-JOB rate ok' /tmp/console; then
    tail -n 20 /tmp/errors /tmp/console >&2
    exit 1
fi
grep '^VSMP-RATE' /tmp/console
