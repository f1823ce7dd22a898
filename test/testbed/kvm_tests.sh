#!/usr/bin/env bash
# The tests labelled kvm, inside a testbed machine: on real nested paging instead of whatever KVM
# this machine has. Usage: kvm_tests.sh amd|intel [EPTAD [GOOGLETEST-FILTER]]
set -euo pipefail

top=$(cd "$(dirname "$0")/../.." && pwd)
cpu=$1 eptad=${2:-1} filter=${3:-*}

# What cannot be had in a lane: TEST, and why.
left_out() {
    case $cpu in
        amd) ;;
        intel)
            echo "RunnerTest.AnEndlessLoopWithInterruptsOffCanBeStopped" \
                "Bochs keeps the host's interrupts out of a guest that was entered with its own off"
            ;;
        *) echo "kvm_tests.sh: amd or intel, not '$cpu'" >&2 && exit 2 ;;
    esac
}

mapfile -t programs < <(ctest --test-dir "$VSMP_BUILD" -L '^kvm$' --show-only=json-v1 |
    grep -oE '"[^"]*/test_[A-Za-z0-9_]+"' | tr -d '"' | sort -u)
if [ "${#programs[@]}" = 0 ]; then
    echo "no test is labelled kvm" >&2
    exit 1
fi
names=$(printf '%s ' "${programs[@]##*/}")
without=
while read -r test why; do
    echo "SKIPPED $test: $why"
    without+=":$test"
done < <(left_out)

# A page is held for as long as guests of guest_xml.sh hold it there.
exec "$top/tools/dev" testbed --no-build --preset "$(basename "$VSMP_BUILD")" --name "kvm-tests-$cpu-$eptad" \
    --cpu "$cpu" --eptad "$eptad" --timeout 1500 -- sh -c "
    export VSMP_BIN_DIR=/usr/bin VSMP_HOLD_US=10000
    failed=
    for test in $names; do
        echo \"== \$test, at \$(cut -d' ' -f1 /proc/uptime) s\"
        \$test --gtest_filter='$filter-${without#:}' || failed=\"\$failed \$test\"
    done
    echo \"== end, at \$(cut -d' ' -f1 /proc/uptime) s\"
    [ -z \"\$failed\" ] || { echo \"failed:\$failed\"; exit 1; }"
