#!/usr/bin/env bash
# Tests of tools/dev testbed. Usage: testbed_test.sh CASE
set -euo pipefail

top=$(cd "$(dirname "$0")/../.." && pwd)
case=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "FAILED: $*" >&2
    head -n 50 "$work"/std* >&2
    exit 1
}
equal() { [ "$1" = "$2" ] || fail "$3: '$1', expected '$2'"; }

# testbed ARGUMENTS..: leaves $status and the two streams in $work.
testbed() {
    status=0
    "$top/tools/dev" testbed --no-build --name "test-$case" "$@" >"$work/stdout" 2>"$work/stderr" ||
        status=$?
}

results=$top/build/testbed/test-$case

no_leftovers() {
    ! pgrep -f "^(qemu-system|.*bochs-bin).*testbed/test-$case/" >/dev/null || fail "a machine is left"
    [ -z "$(ls "$results"/initrd* 2>/dev/null)" ] || fail "an initrd is left"
}

bad_options() {
    local options
    for options in '--hosts 3 -- true' '--fabric vfio -- true' '--hosts 2 --fabric igb -- true' '--cpu arm -- true' '--mem 0 -- true' '--smp x -- true' \
        '--timeout' '--nonsense' '' '--' '--cpu intel --hosts 2 -- true' '--file /nonexistent -- true'; do
        # shellcheck disable=SC2086 # several words
        testbed $options
        [ "$status" != 0 ] || fail "accepted: $options"
        grep -q '^tools/dev: testbed: ' "$work/stderr" || fail "no message for: $options"
    done
    no_leftovers
}

one_host() {
    echo content >"$work/input file"
    # shellcheck disable=SC2016 # expanded in the machine
    testbed --file "$work/input file:/etc/given" -- sh -c '
        echo "it'\''s $(cat /etc/given)"
        echo complaint >&2
        [ -c /dev/kvm ] && [ -s /var/lib/vsmp/boot/vmlinuz ] && [ -s /var/lib/vsmp/boot/initrd.img ] || exit 3
        /usr/sbin/ip link add one type veth peer name two mtu 9000 || exit 4
        guest_xml.sh --nodes 2 | grep -q "<vsmp:node id=.1." || exit 5
        mkdir /out/deep && head -c 300000 /dev/zero >/out/deep/file
        exit 7'
    equal "$status" 7 "exit status"
    equal "$(cat "$work/stdout")" "it's content" "standard output"
    equal "$(cat "$work/stderr")" complaint "standard error"
    equal "$(wc -c <"$results/out/deep/file")" 300000 "size of a result"
    grep -q 'machine 1, Linux 6\.' "$results/host1.log" || fail "no console log"
    no_leftovers
}

command_takes_too_long() {
    testbed --timeout 2 -- sleep 1000
    equal "$status" 124 "exit status"
    no_leftovers
}

interrupted() {
    : >"$work/stdout" # there before the reader below, whoever is quicker
    "$top/tools/dev" testbed --no-build --name "test-$case" -- sh -c 'echo started; sleep 1000' \
        >"$work/stdout" 2>"$work/stderr" &
    local pid=$! line
    # Interrupted once the command runs: its first line says so.
    read -rt 120 line < <(tail -f -s 0.1 --pid=$pid "$work/stdout") || fail "the command never started"
    equal "$line" started "first line"
    kill -TERM $pid
    status=0
    wait $pid || status=$?
    equal "$status" 143 "exit status"
    no_leftovers
}

two_hosts() {
    # shellcheck disable=SC2016 # expanded in the machines
    testbed --hosts 2 --peer 'echo from $(hostname); ping -c 1 -W 20 10.77.0.1; exec sleep 1000' -- sh -c '
        [ "$(cat /sys/class/net/fabric0/mtu)" = 9000 ] || exit 3
        ping -c 2 10.77.0.2 || exit 4
        ip address add 10.78.0.1/24 dev fabric0 || exit 5
        # No address on the other side: its answers to ARP would prove nothing more.
        [ "$(cat /sys/class/net/fabric0/carrier)" = 1 ] || exit 6'
    equal "$status" 0 "exit status"
    grep -q 'from host2' "$results/host2.out" || fail "nothing from machine 2"
    no_leftovers
}

intel() {
    testbed --cpu intel --eptad 0 -- sh -c '
        cat /sys/module/kvm_intel/parameters/eptad; echo complaint >&2; [ -c /dev/kvm ] || exit 3
        echo result >/out/file; exit 7'
    equal "$status" 7 "exit status"
    equal "$(cat "$work/stdout")" N "standard output"
    equal "$(cat "$work/stderr")" complaint "standard error"
    equal "$(cat "$results/out/file")" result "a result"
    no_leftovers
}

case $case in
    bad_options | one_host | command_takes_too_long | interrupted | two_hosts | intel) $case ;;
    *) fail "there is no case $case" ;;
esac
