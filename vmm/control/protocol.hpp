// Constants of the control protocol.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vsmp::control {

// Raised with every change that an older vsmp would misunderstand.
inline constexpr std::uint32_t kProtocolVersion = 2;
inline constexpr const char* kBuild = "vsmp 0.1";

inline constexpr std::uint16_t kDefaultPort = 7420;  // of vsmpd

// A message and its length prefix; larger ones end the connection.
inline constexpr std::size_t kMaxMessageBytes = 8u << 20;
inline constexpr std::size_t kFileChunkBytes = 1u << 20;
inline constexpr std::uint64_t kMaxKernelBytes = 512ull << 20;
inline constexpr std::uint64_t kMaxInitrdBytes = 2048ull << 20;

}  // namespace vsmp::control
