#!/usr/bin/env bash
# Linux over two hosts whose link is a virtio card that DPDK's own driver has, in the testbed.
# Usage: pci_test.sh kernel|uio|vfio [OPTION OF guest_xml.sh]...
set -euo pipefail

top=$(cd "$(dirname "$0")/../.." && pwd)
fabric=$1
shift
exec "$top/tools/dev" testbed --no-build --preset "$(basename "${VSMP_BUILD:-dev}")" --name "pci-$fabric" \
    --hosts 2 --fabric "$fabric" --timeout 300 --file "$top/test/testbed/pci_run.sh:/usr/bin/pci_run.sh" \
    -- pci_run.sh "$fabric" "$@"
