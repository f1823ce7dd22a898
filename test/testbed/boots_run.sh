#!/bin/sh
# Boots Linux on one node and on two, in turn, and tells how long each boot took, by the guest's clock. Runs in a
# testbed machine (busybox sh). Usage: boots_run.sh ROUNDS MIB
set -eu

rounds=$1 mib=$2

boot() { # NAME OPTION OF guest_xml.sh...
    name=$1
    shift
    guest_xml.sh --append 'vsmp.job=report' "$@" >/tmp/guest.xml
    vsmp-run /tmp/guest.xml </dev/null 2>/tmp/errors | tr -d '\r' >/tmp/console
    if ! grep -q '^VSMP-GUEST done' /tmp/console; then
        echo "a guest did not boot ($name):" >&2
        tail -n 20 /tmp/errors /tmp/console >&2
        exit 1
    fi
    echo "$name $(sed -n 's/^VSMP-GUEST up \(.*\)/\1/p' /tmp/console)"
}

while [ "$rounds" -gt 0 ]; do
    boot one-node --nodes 1 --vcpus 2 --mem $((2 * mib)) --spread none
    for policy in always-fetch learned; do
        boot $policy --hosts 2 --mem "$mib" --policy $policy --spread none
    done
    rounds=$((rounds - 1))
done
