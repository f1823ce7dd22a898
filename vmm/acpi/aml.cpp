#include "vmm/acpi/aml.hpp"

#include <array>

#include "proto/check.hpp"
#include "vmm/acpi/byte_builder.hpp"

namespace vsmp::acpi::aml {
namespace {

constexpr std::uint8_t kNameOp = 0x08, kScopeOp = 0x10, kBufferOp = 0x11, kPackageOp = 0x12;
constexpr std::uint8_t kExtension = 0x5b, kDeviceOp = 0x82;
constexpr std::uint8_t kBytePrefix = 0x0a, kWordPrefix = 0x0b, kDwordPrefix = 0x0c;
constexpr std::uint8_t kQwordPrefix = 0x0e;

// The length counts its own bytes. One byte holds 6 bits; otherwise the first one holds 4 bits and
// the number of bytes that follow.
Aml package_length(std::size_t content) {
    ByteBuilder out;
    if (content + 1 < 0x40) return std::move(out.u8(static_cast<std::uint8_t>(content + 1))).take();
    for (std::size_t more = 1; more <= 3; ++more) {
        const std::size_t total = content + 1 + more;
        if (total >= std::size_t{1} << (4 + 8 * more)) continue;
        out.u8(static_cast<std::uint8_t>(more << 6 | (total & 0x0f)));
        for (std::size_t i = 0; i < more; ++i)
            out.u8(static_cast<std::uint8_t>(total >> (4 + 8 * i)));
        return std::move(out).take();
    }
    VSMP_CHECK(false, "AML package longer than its length field can say");
    return {};
}

Aml opcode(std::uint8_t op) {
    return std::move(ByteBuilder{}.u8(op)).take();
}

Aml name_string(std::string_view segment) {
    VSMP_CHECK(segment.size() == 4, "an AML name segment has four characters");
    return std::move(ByteBuilder{}.text(segment)).take();
}

Aml sized(const Aml& op, const Aml& content) {
    return op + package_length(content.size()) + content;
}

}  // namespace

Aml operator+(Aml left, const Aml& right) {
    left.insert(left.end(), right.begin(), right.end());
    return left;
}

Aml name(std::string_view segment, const Aml& value) {
    return opcode(kNameOp) + name_string(segment) + value;
}

Aml scope(std::string_view segment, const Aml& terms) {
    return sized(opcode(kScopeOp), name_string(segment) + terms);
}

Aml device(std::string_view segment, const Aml& terms) {
    return sized(opcode(kExtension) + opcode(kDeviceOp), name_string(segment) + terms);
}

Aml integer(std::uint64_t value) {
    ByteBuilder out;
    if (value <= 1) {
        out.u8(static_cast<std::uint8_t>(value));  // ZeroOp, OneOp
    } else if (value <= 0xff) {
        out.u8(kBytePrefix).u8(static_cast<std::uint8_t>(value));
    } else if (value <= 0xffff) {
        out.u8(kWordPrefix).u16(static_cast<std::uint16_t>(value));
    } else if (value <= 0xffff'ffff) {
        out.u8(kDwordPrefix).u32(static_cast<std::uint32_t>(value));
    } else {
        out.u8(kQwordPrefix).u64(value);
    }
    return std::move(out).take();
}

Aml eisa_id(std::string_view id) {
    VSMP_CHECK(id.size() == 7, "an EISA ID has seven characters");
    std::uint32_t value = 0;
    for (char letter : id.substr(0, 3))
        value = value << 5 | (static_cast<std::uint32_t>(letter - '@') & 0x1f);
    for (char digit : id.substr(3)) {
        const int nibble = digit <= '9' ? digit - '0' : digit - 'A' + 10;
        value = value << 4 | (static_cast<std::uint32_t>(nibble) & 0x0f);
    }
    // The ID is stored big-endian inside a little-endian integer.
    return std::move(ByteBuilder{}.u8(kDwordPrefix).u32(__builtin_bswap32(value))).take();
}

Aml package(const std::vector<Aml>& elements) {
    Aml content = opcode(static_cast<std::uint8_t>(elements.size()));
    for (const Aml& element : elements) content = std::move(content) + element;
    return sized(opcode(kPackageOp), content);
}

Aml io_ports(std::uint16_t base, std::uint8_t count) {
    constexpr std::uint8_t kIoDescriptor = 0x47, kDecode16 = 0x01, kAlignment = 1;
    return std::move(ByteBuilder{}
                         .u8(kIoDescriptor)
                         .u8(kDecode16)
                         .u16(base)
                         .u16(base)
                         .u8(kAlignment)
                         .u8(count))
        .take();
}

Aml irq(std::uint8_t number) {
    constexpr std::uint8_t kIrqNoFlags = 0x22;
    return std::move(ByteBuilder{}.u8(kIrqNoFlags).u16(static_cast<std::uint16_t>(1u << number)))
        .take();
}

Aml resource_template(const Aml& descriptors) {
    constexpr std::uint8_t kEndTag = 0x79, kNoChecksum = 0;
    const Aml content = descriptors + std::move(ByteBuilder{}.u8(kEndTag).u8(kNoChecksum)).take();
    return sized(opcode(kBufferOp), integer(content.size()) + content);
}

}  // namespace vsmp::acpi::aml
