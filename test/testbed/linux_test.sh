#!/usr/bin/env bash
# Linux over two nodes in the testbed. Usage: linux_test.sh HOSTS RUNS SHIPS [OPTION OF guest_xml.sh]...
set -euo pipefail

top=$(cd "$(dirname "$0")/../.." && pwd)
hosts=$1 runs=$2 ships=$3
shift 3
exec "$top/tools/dev" testbed --no-build --preset "$(basename "${VSMP_BUILD:-dev}")" \
    --name "linux-$hosts-$(printf '%s' "$*" | tr -cd 'a-z0-9')" --hosts "$hosts" \
    --timeout $((120 + runs * (200 + ships * 5))) --file "$top/test/testbed/linux_runs.sh:/usr/bin/linux_runs.sh" \
    -- linux_runs.sh "$runs" "$ships" --hosts "$hosts" "$@"
