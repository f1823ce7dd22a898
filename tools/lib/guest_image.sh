# The test guest: Debian's unmodified 6.1 cloud kernel and a small initramfs of ours.
# shellcheck shell=bash

guest_dir=$top/build/guest # vmlinuz, initrd, initrd-loads, and the parts they are made of
guest_jobs=(guest_job memory_job rate_job walk_job heat_job)

# The programs that the guest's jobs run; all of them when a source is newer.
build_guest_jobs() {
    local sources=("$top"/test/guest/*) job program
    for job in "${guest_jobs[@]}"; do
        program=$guest_dir/$job
        [ -n "$(find "${sources[@]}" -newer "$program" 2>&1)" ] || continue
        logged "$job" g++ -std=c++20 -O2 -Wall -Wextra -static -pthread -fopenmp -s \
            -o "$program.part" "$top/test/guest/$job.cpp"
        mv "$program.part" "$program"
    done
}

# Digests are computed here, so that the guest does not vouch for itself.
write_digests() { # FILE
    local seed
    for seed in {0..15}; do
        printf '%s %s\n' "$seed" "$("$guest_dir/guest_job" generate "$seed" | sha256sum | cut -d' ' -f1)"
    done >"$1"
    printf 'heat %s\n' "$("$guest_dir/heat_job" 1 256 400)" >>"$1"
}

fill_guest_root() { # ROOT
    local root=$1
    rm -rf "$root"
    new_root "$root"
    copy_busybox "$root"
    install -m 755 "$top/tools/guest/init" "$root/init"
    cp "${guest_jobs[@]/#/$guest_dir/}" "$root/bin/"
    write_digests "$root/etc/vsmp-digests"
}

pack_guest() {
    fill_guest_root "$guest_dir/root"
    pack_root "$guest_dir/root" "$guest_dir/initrd"
    rm -rf "$guest_dir/root"
}

# Programs of Debian's that the guest's job `loads` runs. memcached comes without its package, whose
# installation would start a server.
load_programs=(/usr/bin/sysbench /usr/bin/memcaslap)

pack_loads() {
    local root=$guest_dir/root-loads
    fill_guest_root "$root"
    install -m 755 "$top/tools/guest/loads" "$root/bin/loads"
    echo root:x:0:0::/:/bin/sh >"$root/etc/passwd" # memcached wants to be somebody
    cp "${load_programs[@]}" "$memcached_dir/usr/bin/memcached" "$root/bin/"
    copy_libraries "$root" "${load_programs[@]}" "$memcached_dir/usr/bin/memcached"
    pack_root "$root" "$guest_dir/initrd-loads"
    rm -rf "$root"
}

# Makes an initrd anew when something of what it is made of has changed.
renew() { # INITRD PACK_FUNCTION FILE..
    local initrd=$guest_dir/$1 pack=$2 key
    shift 2
    key=$(content_key "${guest_jobs[@]/#/$guest_dir/}" "$top/tools/guest/init" /usr/bin/busybox \
        "$lib/guest_image.sh" "$lib/staging.sh" "$@")
    [ "$(cat "$initrd.key" 2>/dev/null)" != "$key" ] || return 0
    "$pack"
    printf '%s\n' "$key" >"$initrd.key"
}

make_guest_image() {
    mkdir -p "$guest_dir"
    build_guest_jobs
    renew initrd pack_guest
    cmp -s "$guest_kernel_dir/vmlinuz" "$guest_dir/vmlinuz" ||
        cp "$guest_kernel_dir/vmlinuz" "$guest_dir/vmlinuz"
}

make_loads_image() {
    mkdir -p "$guest_dir"
    build_guest_jobs
    renew initrd-loads pack_loads "$top/tools/guest/loads" "${load_programs[@]}" \
        "$memcached_dir/usr/bin/memcached"
}

# After this, build/guest/vmlinuz and build/guest/initrd are there. Needs the kernels.
need_guest_image() { with_lock "$top/build/guest.lock" make_guest_image; }

# After this, build/guest/initrd-loads is there.
need_loads_image() {
    need_packages loads
    need_memcached
    with_lock "$top/build/guest.lock" make_loads_image
}
