# The AMD lane: QEMU machines with emulated SVM, or with the CPU's own where it can be nested.
# shellcheck shell=bash

# True when guests of this machine can have VMX or SVM of their own.
hardware_nesting() {
    [ -r /dev/kvm ] && [ -w /dev/kvm ] && grep -qE '^flags.* (vmx|svm)( |$)' /proc/cpuinfo &&
        grep -qsE '^(1|Y)' /sys/module/kvm_amd/parameters/nested /sys/module/kvm_intel/parameters/nested
}

# One host thread for all CPUs of a machine: with one each, machines that run guests die every few
# minutes of corrupted kernel memory, or hang (seen with QEMU 7.2 and 10.0, also with a guest of one
# node); with one for all, never, and a guest of two nodes boots but a quarter slower.
# Without CMPXCHG16B: after it QEMU 7.2 now and then delivers an interrupt with garbage for RFLAGS,
# and Linux, which uses it in its allocator, dies of a double fault.
qemu_cpu() {
    if hardware_nesting; then
        printf '%s\n' -accel kvm -cpu host
    else
        printf '%s\n' -accel tcg,thread=single -cpu EPYC,-cx16
    fi
}

# A named virtio port that writes to a file or, through an fd set, to one of our own streams.
# Appending, because QEMU would truncate what the stream leads to, and a pipe refuses that.
out_port() { # NAME PATH
    printf '%s\n' -chardev "file,id=$1,path=$2,append=on" -device "virtserialport,chardev=$1,name=vsmp.$1"
}

# For vfio an IOMMU, whose devices must say that they go through it. It has to come before them, and
# its addresses must reach as far as a process's do: DPDK uses those.
iommu_arguments() {
    [ "$fabric" = vfio ] || return 0
    printf '%s\n' -device intel-iommu,intremap=on,aw-bits=48
}

# Two machines: fabric0 takes jumbo frames, ctl0 carries the control plane's TCP.
link_arguments() { # MACHINE
    local machine=$1 other=$((3 - $1)) kind id at
    for kind in fa:9000 c0:1500; do
        id=net${kind%%:*} at=
        [ "$kind" != fa:9000 ] || at=,addr=0x10
        [ "$kind/$fabric" != fa:9000/vfio ] || at+=,iommu_platform=on,disable-legacy=on
        printf '%s\n' -netdev "dgram,id=$id,local.type=unix,local.path=$socket_dir/$id.$machine,remote.type=unix,remote.path=$socket_dir/$id.$other" \
            -device "virtio-net-pci,netdev=$id,mac=02:76:${kind%%:*}:00:00:0$machine,host_mtu=${kind##*:},romfile=$at"
    done
}

# TCG's TSC is this machine's. A Linux that is kept off the CPU while it measures the rate gets it wrong
# by any factor, unless it is told: then it believes its own measurement only within 1%. Only a virtual
# machine's /proc/cpuinfo has the TSC's rate, others' have the core's.
tsc_argument() {
    ! hardware_nesting && grep -q '^flags.* hypervisor' /proc/cpuinfo || return 0
    awk -F: '$1 ~ /^cpu MHz/ { printf " tsc_early_khz=%d", $2 * 1000; exit }' /proc/cpuinfo
}

kernel_arguments() { # MACHINE
    # An emulated TSC never drifts, but the watchdog that compares it with other clocks takes a machine
    # that was kept off the CPU for one whose TSC does, and KVM then keeps no TSC offsets.
    local line="console=ttyS0 quiet panic=-1 tsc=nowatchdog"
    line+=$(tsc_argument)
    [ "$fabric" != vfio ] || line+=" intel_iommu=on iommu=pt"
    line+=" vsmp.host=$1 vsmp.hosts=$hosts vsmp.limit=$limit vsmp.fabric=$fabric"
    if [ "$tty" = yes ] && [ "$1" = 1 ]; then
        line+=" vsmp.tty=1 vsmp.rows=$(tput lines 2>/dev/null || echo 24)"
        line+=" vsmp.cols=$(tput cols 2>/dev/null || echo 80)"
    fi
    printf '%s' "$line"
}

# KVM's own interrupt controllers cannot remap interrupts.
qemu_machine() {
    if [ "$fabric" = vfio ] && hardware_nesting; then echo q35,kernel-irqchip=split; else echo q35; fi
}

qemu_arguments() { # MACHINE: one argument a line
    local machine=$1
    printf '%s\n' -name "vsmp-testbed-$machine" -M "$(qemu_machine)" -m "$mem" -smp "$smp" -no-reboot -nodefaults \
        -display none -monitor none -kernel "$host_kernel_dir/vmlinuz" \
        -initrd "$run_dir/initrd$machine" -append "$(kernel_arguments "$machine")" \
        -serial "file:$run_dir/host$machine.log" -device virtio-serial-pci
    qemu_cpu
    iommu_arguments
    out_port status "$run_dir/status$machine"
    [ "$hosts" = 1 ] || link_arguments "$machine"
    if [ "$machine" != 1 ]; then
        out_port out "$run_dir/host2.out"
        out_port err "$run_dir/host2.out"
        return
    fi
    out_port files "$run_dir/out.tar"
    if [ "$tty" = yes ]; then
        printf '%s\n' -chardev stdio,id=tty,signal=off -device virtconsole,chardev=tty
    else
        # Descriptors 8 and 9 lead to our caller.
        printf '%s\n' -add-fd fd=8,set=1 -add-fd fd=9,set=2
        out_port out /dev/fdset/1
        out_port err /dev/fdset/2
    fi
}

# The machine's own limit is a last resort: booting and shutting down get two minutes.
start_qemu() { # MACHINE: its pid is left in $qemu_pid; stdin, 8 and 9 are passed on
    local arguments
    mapfile -t arguments < <(qemu_arguments "$1")
    timeout --foreground -k 5 $((limit + 120)) qemu-system-x86_64 "${arguments[@]}" \
        <&0 2>"$run_dir/machine$1.log" &
    qemu_pid=$!
    at_exit end_process "$qemu_pid"
}

end_process() { # PID, a child of ours
    local tries=0
    kill -TERM "$1" 2>/dev/null || return 0
    while kill -0 "$1" 2>/dev/null && [ $((tries += 1)) -lt 50 ]; do read -rt 0.1 <> <(:) || true; done
    kill -KILL "$1" 2>/dev/null || true
}

run_qemu() {
    local first second='' readers=()
    if [ "$hosts" = 2 ]; then
        pack_job 2 sh -c "$peer"
        start_qemu 2 </dev/null
        second=$qemu_pid
    fi
    pack_job 1 "${command[@]}"
    if [ "$tty" = yes ]; then
        if [ -t 0 ]; then at_exit stty "$(stty -g)"; fi
        start_qemu 1
        first=$qemu_pid
    else
        exec 8> >(exec cat)
        readers+=($!)
        exec 9> >(exec cat >&2)
        readers+=($!)
        start_qemu 1 </dev/null
        first=$qemu_pid
        exec 8>&- 9>&-
    fi
    wait "$first" || true
    # Nothing else writes to these pipes, so they end with the machine.
    [ "${#readers[@]}" = 0 ] || wait "${readers[@]}" || true
    [ -z "$second" ] || end_process "$second"
}
