#include "dpdk_transport/ports/pcapng.hpp"

#include <array>

namespace vsmp::fabric {
namespace {

constexpr std::uint32_t kSectionHeader = 0x0a0d0d0a, kByteOrder = 0x1a2b3c4d,
                        kInterfaceDescription = 1, kEnhancedPacket = 6;
constexpr std::uint16_t kEndOfOptions = 0, kInterfaceName = 2, kTimeResolution = 9,
                        kPacketFlags = 2, kLinkEthernet = 1;
constexpr std::uint8_t kNanoseconds = 9;  // 10 to the minus
constexpr std::size_t kFileBuffer = 1 << 20;
constexpr std::size_t kMaxName = 64;

constexpr std::size_t padded(std::size_t size) {
    return (size + 3) & ~std::size_t{3};
}

// Options, and whatever else has to end on 32 bits, are padded with zeros.
void write_padded(ByteWriter& to, ByteView bytes) {
    to.write(bytes);
    for (std::size_t i = bytes.size(); i < padded(bytes.size()); ++i) to.write(std::uint8_t{0});
}

void write_option(ByteWriter& to, std::uint16_t code, ByteView value) {
    to.write(code);
    to.write(static_cast<std::uint16_t>(value.size()));
    write_padded(to, value);
}

}  // namespace

Result<std::unique_ptr<PcapngFile>> PcapngFile::create(const std::string& path,
                                                       const std::string& interface) {
    std::FILE* file = std::fopen(path.c_str(), "wbe");
    if (file == nullptr) return Error::from_errno("capture file " + path);
    std::setvbuf(file, nullptr, _IOFBF, kFileBuffer);
    std::unique_ptr<PcapngFile> made{new PcapngFile{file}};

    std::array<std::byte, 256> buffer{};
    ByteWriter header{buffer};
    constexpr std::uint32_t kHeaderLength = 28;
    header.write(kSectionHeader);
    header.write(kHeaderLength);
    header.write(kByteOrder);
    header.write(std::uint16_t{1});  // version 1.0
    header.write(std::uint16_t{0});
    header.write(~std::uint64_t{0});  // length of the section: not known
    header.write(kHeaderLength);

    const std::string_view name = std::string_view{interface}.substr(0, kMaxName);
    const std::array<std::byte, 1> resolution{std::byte{kNanoseconds}};
    const auto length = static_cast<std::uint32_t>(20 + (4 + padded(name.size())) + 8 + 4);
    header.write(kInterfaceDescription);
    header.write(length);
    header.write(kLinkEthernet);
    header.write(std::uint16_t{0});
    header.write(std::uint32_t{0});  // frames are whole
    write_option(header, kInterfaceName, std::as_bytes(std::span{name}));
    write_option(header, kTimeResolution, resolution);
    write_option(header, kEndOfOptions, {});
    header.write(length);
    made->put(header.written());
    return made;
}

PcapngFile::~PcapngFile() {
    std::fclose(file_);
}

void PcapngFile::put(ByteView bytes) {
    if (bytes.empty()) return;  // data() may be null then, which fwrite does not take
    ok_ = ok_ && std::fwrite(bytes.data(), 1, bytes.size(), file_) == bytes.size();
}

void PcapngFile::write(FrameDirection direction, std::chrono::nanoseconds since_1970,
                       ByteView first, ByteView second) {
    if (!ok_) return;
    const std::size_t size = first.size() + second.size();
    const auto time = static_cast<std::uint64_t>(since_1970.count());
    std::array<std::byte, 32> buffer;
    ByteWriter head{buffer};
    const auto length = static_cast<std::uint32_t>(28 + padded(size) + 12 + 4);
    head.write(kEnhancedPacket);
    head.write(length);
    head.write(std::uint32_t{0});  // interface
    head.write(static_cast<std::uint32_t>(time >> 32));
    head.write(static_cast<std::uint32_t>(time & 0xffffffff));
    head.write(static_cast<std::uint32_t>(size));
    head.write(static_cast<std::uint32_t>(size));

    std::array<std::byte, 4> flags_buffer;
    ByteWriter flags{flags_buffer};
    flags.write(static_cast<std::uint32_t>(direction));
    std::array<std::byte, 24> tail_buffer;
    ByteWriter tail{tail_buffer};
    for (std::size_t i = size; i < padded(size); ++i) tail.write(std::uint8_t{0});
    write_option(tail, kPacketFlags, flags.written());
    write_option(tail, kEndOfOptions, {});
    tail.write(length);

    put(head.written());
    put(first);
    put(second);
    put(tail.written());
}

void PcapngFile::flush() {
    ok_ = ok_ && std::fflush(file_) == 0;
}

}  // namespace vsmp::fabric
