#!/usr/bin/env bash
# The tests labelled kvm, inside a testbed machine: on real nested paging instead of whatever KVM
# this machine has. Usage: kvm_tests.sh amd|intel [EPTAD]
set -euo pipefail

top=$(cd "$(dirname "$0")/../.." && pwd)
cpu=$1 eptad=${2:-1}

mapfile -t programs < <(ctest --test-dir "$VSMP_BUILD" -L '^kvm$' --show-only=json-v1 |
    grep -oE '"[^"]*/test_[A-Za-z0-9_]+"' | tr -d '"' | sort -u)
if [ "${#programs[@]}" = 0 ]; then
    echo "no test is labelled kvm" >&2
    exit 1
fi
names=$(printf '%s ' "${programs[@]##*/}")
exec "$top/tools/dev" testbed --no-build --preset "$(basename "$VSMP_BUILD")" --name "kvm-tests-$cpu-$eptad" \
    --cpu "$cpu" --eptad "$eptad" --timeout 800 -- sh -c "failed=; for test in $names; do
        echo \"== \$test\"; \$test --gtest_brief=1 || failed=\"\$failed \$test\"
    done; [ -z \"\$failed\" ] || { echo \"failed:\$failed\"; exit 1; }"
