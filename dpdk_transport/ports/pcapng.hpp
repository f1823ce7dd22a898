// Writes frames to a pcapng file (draft-ietf-opsawg-pcapng), as Wireshark reads it: one section,
// one Ethernet interface, times in nanoseconds. One thread.
#pragma once

#include <chrono>
#include <cstdio>
#include <memory>
#include <string>

#include "proto/bytes.hpp"
#include "proto/result.hpp"

namespace vsmp::fabric {

enum class FrameDirection : std::uint8_t { inbound = 1, outbound = 2 };  // epb_flags, bits 0 and 1

class PcapngFile {
  public:
    // Replaces what was at `path`. `interface` is shown beside each frame.
    static Result<std::unique_ptr<PcapngFile>> create(const std::string& path,
                                                      const std::string& interface);
    PcapngFile(const PcapngFile&) = delete;
    PcapngFile& operator=(const PcapngFile&) = delete;
    ~PcapngFile();

    // A frame that consists of two parts, either of which may be empty. Buffered. When the disk is
    // full the file ends before this frame, and ok() is false from then on.
    void write(FrameDirection direction, std::chrono::nanoseconds since_1970, ByteView first,
               ByteView second);
    void flush();
    bool ok() const { return ok_; }

  private:
    explicit PcapngFile(std::FILE* file) : file_(file) {}
    void put(ByteView bytes);

    std::FILE* file_;
    bool ok_ = true;
};

}  // namespace vsmp::fabric
