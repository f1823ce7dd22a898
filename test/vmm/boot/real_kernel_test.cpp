// Loads the kernel that VSMP_TEST_KERNEL names, as distributed.
#include <cstdlib>
#include <fstream>

#include "test/skip.hpp"
#include "test/vmm/boot/images.hpp"
#include "vmm/boot/linux_loader.hpp"

namespace vsmp::boot {
namespace {

Bytes read_file(const char* path) {
    std::ifstream in{path, std::ios::binary};
    const std::string text{std::istreambuf_iterator<char>{in}, {}};
    const auto bytes = std::as_bytes(std::span{text});
    return {bytes.begin(), bytes.end()};
}

TEST(RealKernel, LoadsByThe64BitProtocol) {
    const char* path = std::getenv("VSMP_TEST_KERNEL");
    if (!path) VSMP_SKIP() << "VSMP_TEST_KERNEL names no kernel (tools/dev test sets it)";
    const Bytes kernel = read_file(path);
    ASSERT_FALSE(kernel.empty()) << path;
    const MemoryLayout memory = memory_of({256 * kMiB, 256 * kMiB});
    const auto image = load_linux({.kernel = kernel,
                                   .initrd = {},
                                   .command_line = "",
                                   .memory = memory,
                                   .acpi_rsdp = Gpa{0xe0000}});
    ASSERT_TRUE(image) << image.error().message;
    expect_sound(*image, memory);
    const ByteView at_entry = written_at(*image, image->start[0].rip);
    EXPECT_GT(at_entry.size(), 4 * kMiB);
    // startup_64 begins with cld; cli. A kernel that does otherwise is worth a look.
    EXPECT_EQ(at_entry[0], std::byte{0xfc});
    EXPECT_EQ(at_entry[1], std::byte{0xfa});
}

}  // namespace
}  // namespace vsmp::boot
