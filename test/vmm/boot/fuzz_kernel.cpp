// Any bytes as kernel: an error or an image that stays inside guest memory, nothing else.
#include "vmm/boot/linux_loader.hpp"
#include "vmm/boot/micro.hpp"

namespace {

void check_inside(const vsmp::boot::BootImage& image, const vsmp::MemoryLayout& memory) {
    for (const auto& write : image.writes) {
        const std::uint64_t end = write.at.value() + write.bytes.size();
        VSMP_CHECK(end >= write.at.value() && end <= memory.total_bytes(), "write outside RAM");
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const std::uint64_t cell = 64ull << 20;
    static const vsmp::MemoryLayout memory = *vsmp::MemoryLayout::create({&cell, 1});
    const auto file = std::as_bytes(std::span{data, size});
    const auto kernel = vsmp::boot::load_linux({.kernel = file,
                                                .initrd = file,
                                                .command_line = "quiet",
                                                .memory = memory,
                                                .acpi_rsdp = vsmp::Gpa{0xe0000}});
    if (kernel) check_inside(*kernel, memory);
    const auto micro = vsmp::boot::load_micro({.program = file, .memory = memory});
    if (micro) check_inside(*micro, memory);
    return 0;
}
