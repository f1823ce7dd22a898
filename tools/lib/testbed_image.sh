# What a testbed machine boots with, in three archives that the kernel unpacks one after another:
# the base (userspace, modules), the build (our programs and their libraries), the job (this run).
# shellcheck shell=bash

image_cache=$top/build/cache
host_modules=(virt/lib/irqbypass drivers/crypto/ccp/ccp arch/x86/kvm/kvm arch/x86/kvm/kvm-amd
    arch/x86/kvm/kvm-intel net/core/failover drivers/net/net_failover drivers/net/virtio_net
    drivers/net/veth net/llc/llc net/802/stp net/bridge/bridge
    drivers/uio/uio drivers/uio/uio_pci_generic
    drivers/vfio/vfio drivers/vfio/vfio_iommu_type1 drivers/vfio/pci/vfio-pci-core drivers/vfio/pci/vfio-pci)

# cached_archive KIND KEY FUNCTION: FUNCTION ROOT fills a root, packed unless already there.
# The file is left in $archive.
cached_archive() {
    local kind=$1 key=$2 fill=$3 file=$image_cache/$1-$2.cpio root old
    if [ ! -e "$file" ]; then
        mkdir -p "$image_cache"
        root=$(mktemp -d "$image_cache/$kind.XXXXXX")
        "$fill" "$root"
        pack_root "$root" "$file"
        rm -rf "$root"
        # The newest few stay: runs that are going on have theirs open or copied.
        find "$image_cache" -name "$kind-*.cpio" -printf '%T@ %p\n' | sort -rn | tail -n +6 |
            while read -r _ old; do rm -f "$old"; done
    fi
    touch "$file"
    archive=$file
}

fill_base() { # ROOT
    local root=$1 module file
    new_root "$root"
    copy_with_links "$root" /usr/sbin/ip
    copy_libraries "$root" /usr/sbin/ip
    # busybox's setpriv knows no users.
    copy_with_links "$root" /usr/bin/setpriv
    copy_libraries "$root" /usr/bin/setpriv
    # busybox's own shell would run busybox's ip, which knows no veth, whatever PATH says.
    copy_with_links "$root" /usr/bin/dash
    copy_libraries "$root" /usr/bin/dash
    ln -s dash "$root/usr/bin/sh"
    copy_busybox "$root"
    mkdir "$root/modules"
    for module in "${host_modules[@]}"; do
        file=$host_kernel_dir/modules/$module.ko
        if [ -e "$file.xz" ]; then
            xz -dc "$file.xz" >"$root/modules/${module##*/}.ko"
        elif [ -e "$file" ]; then
            cp "$file" "$root/modules/"
        fi
    done
    printf 'root:x:0:0:root:/root:/bin/sh\n' >"$root/etc/passwd"
    printf 'root:x:0:\n' >"$root/etc/group"
    printf '127.0.0.1 localhost\n10.77.0.1 host1\n10.77.0.2 host2\n' >"$root/etc/hosts"
    install -m 755 "$top/tools/testbed/init" "$root/init"
    logged hold-kvm g++ -std=c++20 -O2 -Wall -Wextra -static -s -o "$root/usr/bin/hold_kvm" \
        "$top/tools/testbed/hold_kvm.cpp"
    install -m 755 "$lib/guest_xml.sh" "$root/usr/bin/guest_xml.sh"
    install -m 755 "$lib/demo_inside.sh" "$root/usr/bin/demo_inside.sh"
}

# Every program of the build, by name.
build_programs() {
    find "$top/build/$preset" -type f -executable -not -path '*/CMakeFiles/*' -not -name '*.so*' \
        -not -name '*.sh'
}

# The product's programs, those asked for, and those that the command names.
wanted_programs() {
    local program wanted=" ${with[*]} ${command[*]} $peer "
    wanted=${wanted//[$'\n\t;|&()\/']/ }
    while IFS= read -r program; do
        case ${program##*/} in
            vsmp-run | vsmp-node | vsmpd | vsmpctl) printf '%s\n' "$program" ;;
            *) case $wanted in *" ${program##*/} "*) printf '%s\n' "$program" ;; esac ;;
        esac
    done < <(build_programs)
}

fill_build() { # ROOT
    local root=$1 program
    new_root "$root"
    for program in "${programs[@]}"; do
        strip --strip-debug -o "$root/usr/bin/${program##*/}" "$program"
        copy_libraries "$root" "$program"
    done
    if compgen -G "$root/usr/lib/x86_64-linux-gnu/librte_eal*" >/dev/null; then
        copy_dpdk_plugins "$root"
    fi
    if compgen -G "$root/usr/lib/x86_64-linux-gnu/libvirt*" >/dev/null; then
        mkdir -p "$root/usr/share/libvirt"
        cp -r /usr/share/libvirt/{schemas,cpu_map} "$root/usr/share/libvirt/"
    fi
    mkdir -p "$root/usr/share/vsmp" "$root/var/lib/vsmp/boot"
    cp "$guest_dir/vmlinuz" "$root/var/lib/vsmp/boot/vmlinuz"
    cp "$guest_dir/initrd" "$root/var/lib/vsmp/boot/initrd.img"
    [ ! -d "$top/examples" ] || cp -r "$top/examples" "$root/usr/share/vsmp/"
}

make_testbed_images() {
    local key
    key=$(content_key "$top"/tools/testbed/{init,hold_kvm.cpp} "$lib"/{testbed_image,staging,guest_xml,demo_inside}.sh \
        "$host_kernel_dir/vmlinuz" /usr/bin/busybox)
    cached_archive base "$key" fill_base
    base_archive=$archive
    mapfile -t programs < <(wanted_programs | sort)
    key=$(content_key "${programs[@]}" "$guest_dir/initrd" "$guest_dir/vmlinuz" \
        "$lib/testbed_image.sh" "$lib/staging.sh" \
        <(find "$top/examples" -type f -exec cat {} + 2>/dev/null | sort) \
        <(printf '%s\n' "${programs[@]}"))
    cached_archive build "$key" fill_build
    build_archive=$archive
}

quoted() { # WORD..: for any POSIX shell
    local word
    for word in "$@"; do printf "'%s' " "${word//\'/\'\\\'\'}"; done
}

# pack_job MACHINE COMMAND..: the initramfs of one machine, in the run's directory.
pack_job() {
    local machine=$1 root=$run_dir/job file destination
    shift
    mkdir -p "$root/job"
    {
        echo 'cd /job'
        echo "exec $(quoted "$@")"
    } >"$root/job/command"
    for file in "${files[@]}"; do
        destination=/job/$(basename "${file%%:*}")
        [[ $file != *:* ]] || destination=${file#*:}
        [ -e "${file%%:*}" ] || die "testbed: there is no file ${file%%:*}"
        mkdir -p "$root$(dirname "$destination")"
        cp "${file%%:*}" "$root$destination"
    done
    pack_root "$root" "$run_dir/job.cpio"
    rm -rf "$root"
    cat "$base_archive" "$build_archive" "$run_dir/job.cpio" >"$run_dir/initrd$machine"
    rm "$run_dir/job.cpio"
    at_exit rm -f "$run_dir/initrd$machine"
}
