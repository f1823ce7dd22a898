# The Intel lane: Bochs with emulated VMX and EPT. Slow (40 million instructions a second).
# shellcheck shell=bash

pack_iso() { # FILE: the same kernel and archives, on a CD, because Bochs boots no kernel itself
    local root=$run_dir/iso
    mkdir -p "$root/isolinux"
    cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$root/isolinux/"
    cp "$host_kernel_dir/vmlinuz" "$root/vmlinuz"
    mv "$run_dir/initrd1" "$root/initrd"
    cat >"$root/isolinux/isolinux.cfg" <<CONFIG
default vsmp
label vsmp
kernel /vmlinuz
append initrd=/initrd $(kernel_arguments 1) vsmp.eptad=$eptad vsmp.lag=1
CONFIG
    logged testbed-iso xorriso -as mkisofs -quiet -o "$1" -b isolinux/isolinux.bin \
        -c isolinux/boot.cat -no-emul-boot -boot-load-size 4 -boot-info-table "$root"
    rm -rf "$root"
}

# broadwell_ult: the CPUID of the newer models claims a TSC frequency that Bochs does not keep.
# Short relative names: Bochs 2.7 overruns a buffer with longer ones of serial devices.
bochs_configuration() {
    cat <<CONFIG
display_library: rfb, options="timeout=0"
cpu: model=broadwell_ult, count=$smp, ips=50000000, ignore_bad_msrs=1, reset_on_triple_fault=0
memory: guest=$mem, host=$mem
romimage: file=/usr/share/bochs/BIOS-bochs-latest, options=fastboot
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
ata0-master: type=cdrom, path=boot.iso, status=inserted
boot: cdrom
clock: sync=none, time0=local
com1: enabled=1, mode=file, dev=console
com2: enabled=1, mode=file, dev=out
com3: enabled=1, mode=file, dev=err
com4: enabled=1, mode=file, dev=files
panic: action=fatal
sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
log: log
CONFIG
}

run_bochs() {
    local bochs readers=() in_namespace=(unshare -n)
    pack_job 1 "${command[@]}"
    pack_iso "$socket_dir/boot.iso"
    bochs_configuration >"$socket_dir/bochsrc"
    echo c >"$socket_dir/commands"
    : >"$socket_dir/out"
    : >"$socket_dir/err"
    ln -s "$run_dir/host1.log" "$socket_dir/console"
    ln -s "$run_dir/out.tar" "$socket_dir/files"
    ln -s "$run_dir/machine1.log" "$socket_dir/log"
    # Its display listens on a port; in a network namespace of its own nobody can reach that.
    [ "$(id -u)" = 0 ] || in_namespace=(unshare -rn)
    # The limit inside counts the machine's time; this one is the wall's, boot included.
    timeout -k 5 $((limit + 300)) "${in_namespace[@]}" env -C "$socket_dir" \
        bochs-bin -q -f bochsrc -rc commands </dev/null >"$run_dir/machine1.out" 2>&1 &
    bochs=$!
    at_exit end_process "$bochs"
    tail -q -s 0.5 -f -c +1 --pid="$bochs" "$socket_dir/out" &
    readers+=($!)
    at_exit end_process "${readers[0]}"
    tail -q -s 0.5 -f -c +1 --pid="$bochs" "$socket_dir/err" >&2 &
    readers+=($!)
    at_exit end_process "${readers[1]}"
    wait "$bochs" || true # always 1; what happened is in the console's log
    wait "${readers[@]}" || true
    sed -n 's/^testbed: command ended with status \([0-9]*\).*/exit \1/p' \
        "$run_dir/host1.log" >"$run_dir/status1" || true
}
