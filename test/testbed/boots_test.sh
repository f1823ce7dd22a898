#!/usr/bin/env bash
# How long Linux with two vCPUs boots on one node, and on two hosts with all vCPUs left where they start, under
# always-fetch and under the learned policy. Usage: boots_test.sh ROUNDS [MIB OF EACH NODE]
set -euo pipefail

top=$(cd "$(dirname "$0")/../.." && pwd)
rounds=$1 mib=${2:-128}
exec "$top/tools/dev" testbed --no-build --preset "$(basename "${VSMP_BUILD:-dev}")" --name boots --hosts 2 --smp 1 \
    --timeout $((60 + rounds * 120)) --file "$top/test/testbed/boots_run.sh:/usr/bin/boots_run.sh" \
    --peer 'vsmpd --listen 10.77.0.2' -- boots_run.sh "$rounds" "$mib"
