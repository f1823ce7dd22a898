# The test guest: Debian's unmodified 6.1 cloud kernel and a small initramfs of ours.
# shellcheck shell=bash

guest_dir=$top/build/guest # vmlinuz, initrd, and the parts the initrd is made of

# The programs that the guest's jobs run; all of them when a source is newer.
build_guest_jobs() {
    local sources=("$top"/test/guest/*) job program
    for job in guest_job memory_job rate_job walk_job; do
        program=$guest_dir/$job
        [ -n "$(find "${sources[@]}" -newer "$program" 2>&1)" ] || continue
        logged "$job" g++ -std=c++20 -O2 -Wall -Wextra -static -pthread -s -o "$program.part" \
            "$top/test/guest/$job.cpp"
        mv "$program.part" "$program"
    done
}

# Digests are computed here, so that the guest does not vouch for itself.
write_digests() { # FILE
    local seed
    for seed in {0..15}; do
        printf '%s %s\n' "$seed" "$("$guest_dir/guest_job" generate "$seed" | sha256sum | cut -d' ' -f1)"
    done >"$1"
}

pack_guest() {
    local root=$guest_dir/root applet
    rm -rf "$root"
    mkdir -p "$root"/{bin,dev,etc,proc,sys,tmp}
    cp /usr/bin/busybox "$root/bin/"
    for applet in $(/usr/bin/busybox --list); do
        [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
    done
    install -m 755 "$top/tools/guest/init" "$root/init"
    cp "$guest_dir"/{guest_job,memory_job,rate_job,walk_job} "$root/bin/"
    write_digests "$root/etc/vsmp-digests"
    pack_root "$root" "$guest_dir/initrd"
    rm -rf "$root"
}

make_guest_image() {
    local key
    mkdir -p "$guest_dir"
    build_guest_jobs
    key=$(content_key "$guest_dir"/{guest_job,memory_job,rate_job,walk_job} "$top/tools/guest/init" /usr/bin/busybox \
        "$lib/guest_image.sh" "$lib/staging.sh")
    if [ "$(cat "$guest_dir/initrd.key" 2>/dev/null)" != "$key" ]; then
        pack_guest
        printf '%s\n' "$key" >"$guest_dir/initrd.key"
    fi
    cmp -s "$guest_kernel_dir/vmlinuz" "$guest_dir/vmlinuz" ||
        cp "$guest_kernel_dir/vmlinuz" "$guest_dir/vmlinuz"
}

# After this, build/guest/vmlinuz and build/guest/initrd are there. Needs the kernels.
need_guest_image() { with_lock "$top/build/guest.lock" make_guest_image; }
