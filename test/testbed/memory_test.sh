#!/usr/bin/env bash
# A guest larger than any of its nodes, in the testbed: two hosts that give LIMIT MiB each, a guest
# of twice CELL MiB in which a program fills FILL MiB and checks them from both hosts, PASSES times in
# order and at RANDOM pages. Each host has one CPU: with two, which one thread of QEMU runs in turn, a node's
# data plane waits for the other CPU's turn to end. Each host's processes are in a memory cgroup of LIMIT + ROOM MiB.
# Usage: memory_test.sh LIMIT CELL FILL PASSES RANDOM SECONDS [OPTION OF guest_xml.sh]...
set -euo pipefail

top=$(cd "$(dirname "$0")/../.." && pwd)
here=$top/test/testbed
limit=$1 cell=$2 fill=$3 passes=$4 random=$5 seconds=$6
shift 6
room=${ROOM_MIB:-64}
exec "$top/tools/dev" testbed --no-build --preset "$(basename "${VSMP_BUILD:-dev}")" \
    --name "memory-$cell-$fill" --hosts 2 --smp 1 --timeout "$seconds" \
    --file "$here/memory_run.sh:/usr/bin/memory_run.sh" --file "$here/confined.sh:/usr/bin/confined.sh" \
    --peer "nc -ll -p 7701 -e confined.sh report & confined.sh $((limit + room)) vsmpd --listen 10.77.0.2" \
    -- memory_run.sh "$limit" $((limit + room)) --hosts 2 --mem "$cell" --limit "$limit" --ticks idle --companions 48 "$@" \
    --append "vsmp.job=report,memory,wait vsmp.fill=$fill vsmp.passes=$passes vsmp.random=$random"
