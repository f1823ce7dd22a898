#!/bin/sh
# Runs a command in a memory cgroup of so many MiB, and tells what became of it. Runs in a testbed
# machine. Usage: confined.sh MIB COMMAND..., confined.sh report
set -eu

group=/sys/fs/cgroup/confined

field() { sed -n "s/^$1 //p" "$group/$2"; }

# shmem has guest memory and DPDK's, kernel what the kernel keeps for the group.
report() {
    echo "cgroup of $(($(cat $group/memory.max) >> 20)) MiB: peak $(($(cat $group/memory.peak) >> 20)) MiB," \
        "now MiB: anon $(($(field anon memory.stat) >> 20)), shmem $(($(field shmem memory.stat) >> 20))," \
        "kernel $(($(field kernel memory.stat) >> 20)), killed $(field oom_kill memory.events)"
}

[ "$1" != report ] || { report && exit; }
mkdir -p /sys/fs/cgroup
grep -q '^none /sys/fs/cgroup cgroup2' /proc/mounts || mount -t cgroup2 none /sys/fs/cgroup
echo +memory >/sys/fs/cgroup/cgroup.subtree_control
mkdir "$group"
echo $(($1 << 20)) >$group/memory.max
echo $$ >$group/cgroup.procs
shift
exec "$@"
