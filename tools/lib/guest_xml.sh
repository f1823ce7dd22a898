#!/bin/sh
# Writes the domain XML of a test guest to standard output. Runs in the testbed too (busybox sh).
set -eu

usage() {
    cat <<'TEXT'
Usage: guest_xml.sh [--nodes N] [--vcpus N] [--mem MIB] [--limit MIB] [--hosts 1|2] [--link KIND] [--append TEXT]
                    [--companions N] [--ticks KIND] [--policy NAME] [--hold US] [--spread MODE] [--name NAME] [--kernel FILE] [--initrd FILE]
--vcpus and --mem are those of each node, --limit is limit-mib of each.
--ticks housekeeper (default): CPU 0 alone keeps time, always, and the others' work is not interrupted; idle: no CPU
has a timer tick while it idles, which is better where one CPU at a time works.
--hold: microseconds that a page is kept once obtained (10000: an emulated machine needs longer than real ones to wake a thread and run an instruction). With --hosts 2, node 0 is here and the others are on
10.77.0.2, on the interface fabric0 (--link af_packet, the default) or the PCI device 0000:00:10.0
(--link pci): the testbed's two machines.
TEXT
}

nodes=2 vcpus=1 mem=256 limit='' hosts=1 link=af_packet ticks=housekeeper companions=0 append='' policy=always-fetch hold=10000 spread=round-robin name=test
kernel=/var/lib/vsmp/boot/vmlinuz initrd=/var/lib/vsmp/boot/initrd.img
while [ $# != 0 ]; do
    [ $# -ge 2 ] || { usage >&2 && exit 2; }
    case $1 in
        --nodes) nodes=$2 ;;
        --vcpus) vcpus=$2 ;;
        --mem) mem=$2 ;;
        --limit) limit=" limit-mib='$2'" ;;
        --hosts) hosts=$2 ;;
        --link) link=$2 ;;
        --ticks) ticks=$2 ;;
        --companions) companions=$2 ;;
        --append) append=$2 ;;
        --policy) policy=$2 ;;
        --hold) hold=$2 ;;
        --spread) spread=$2 ;;
        --name) name=$2 ;;
        --kernel) kernel=$2 ;;
        --initrd) initrd=$2 ;;
        *) usage >&2 && exit 2 ;;
    esac
    shift 2
done

# Spares exits and page sharing; none of it is required. NUMA balancing would take access to pages away and
# copy them from node to node, which is what vsmp does already.
tuning='numa_balancing=disable tsc=reliable mitigations=off nowatchdog skew_tick=1 nokaslr panic=-1'
cpus=$((nodes * vcpus))
case $ticks in housekeeper | idle) ;; *) usage >&2 && exit 2 ;; esac
[ $cpus = 1 ] || [ "$ticks" = idle ] || tuning="$tuning nohz_full=1-$((cpus - 1)) rcu_nocbs=1-$((cpus - 1))"

case $link in
    af_packet) between="type='af_packet' interface='fabric0'" ;;
    pci) between="type='pci' address='0000:00:10.0'" ;;
    *) usage >&2 && exit 2 ;;
esac

cluster_nodes() {
    node=0
    while [ "$node" -lt "$nodes" ]; do
        host=local way="type='auto'"
        if [ "$hosts" = 2 ]; then
            way=$between
            [ "$node" = 0 ] || host=10.77.0.2
        fi
        echo "      <vsmp:node id='$node' cell='$node' host='$host'$limit><vsmp:link $way/></vsmp:node>"
        node=$((node + 1))
    done
}

distances() { # NODE
    other=0
    while [ "$other" -lt "$nodes" ]; do
        value=40
        [ "$other" != "$1" ] || value=10
        echo "          <sibling id='$other' value='$value'/>"
        other=$((other + 1))
    done
}

cells() {
    node=0
    while [ "$node" -lt "$nodes" ]; do
        first=$((node * vcpus)) last=$((node * vcpus + vcpus - 1))
        cpus=$first
        [ $first = $last ] || cpus=$first-$last
        echo "      <cell id='$node' cpus='$cpus' memory='$mem' unit='MiB'>"
        echo "        <distances>"
        distances "$node"
        echo "        </distances>"
        echo "      </cell>"
        node=$((node + 1))
    done
}

cat <<XML
<domain type='kvm'>
  <name>$name</name>
  <metadata>
    <vsmp:cluster xmlns:vsmp='urn:vsmp:domain:1'>
$(cluster_nodes)
      <vsmp:policy name='$policy'/>
      <vsmp:hold us='$hold'/>
      <vsmp:memory companions='$companions'/>
      <vsmp:spread mode='$spread'/>
    </vsmp:cluster>
  </metadata>
  <memory unit='MiB'>$((nodes * mem))</memory>
  <vcpu placement='static'>$((nodes * vcpus))</vcpu>
  <os>
    <type arch='x86_64'>hvm</type>
    <kernel>$kernel</kernel>
    <initrd>$initrd</initrd>
    <cmdline>console=ttyS0 $tuning $append</cmdline>
  </os>
  <features>
    <acpi/>
    <apic/>
  </features>
  <cpu mode='host-passthrough'>
    <numa>
$(cells)
    </numa>
  </cpu>
  <clock offset='utc'/>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>destroy</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <serial type='pty'>
      <target port='0'/>
    </serial>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
  </devices>
  <seclabel type='none'/>
</domain>
XML
