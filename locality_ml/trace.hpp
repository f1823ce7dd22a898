// A run of a policy on one node, as bytes: all that it was told and all that it answered, in order.
// What it answered can be had again from what it was told (replay.hpp).
//
// Format, little-endian; "v" is a varint (7 bits a byte, lowest first, the top bit means more),
// "z" a varint of a zigzag-coded difference:
//
//   header   "vsmptrc1", self u8, node_count u8, vcpu_count v, page_count v, seed v,
//            length of the policy's name u8, name
//   record   kind u8, time z (ns since the record before), then by kind:
//     decide      vcpu v, page v, flags u8 (1 write, 2 stuck, 4 ships), location u8, code v, then
//                 either node u8, reason u8 or count u8 and z for each page, from the page before
//     fetched     vcpu v, page v, from u8, cost v
//     prefetched  vcpu v, page v, fate u8
//     lost        page v, access u8, to u8
//     departed    vcpu v, to u8
//     arrived     vcpu v, from u8, blackout v, length of the luggage v, luggage
//     ship_failed vcpu v, to u8
//     loads       count u8, for each: host u8, cpus f32, runnable f32, reach u8
//     place       vcpu v, busy f32, code v, answer u8 (0 stay, 1 ship), if it ships node u8, reason
//     u8
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "locality_ml/policy.hpp"
#include "proto/result.hpp"

namespace vsmp::locality {

struct TraceHeader {
    PolicySetup setup;
    std::string policy;
};

struct Decided {
    RemoteFault fault;
    Decision decision;
};
struct Told {
    Observation what;
};
struct LoadsTold {
    std::array<NodeLoad, kMaxNodes> loads{};
    std::size_t count = 0;
    Instant now;
};
struct Placed {
    Activity activity;
    Placement placement;
};
using TraceRecord = std::variant<Decided, Told, LoadsTold, Placed>;

Instant time_of(const TraceRecord& record);

// Encodes into a buffer of its own, allocated once, and hands it on when it is nearly full.
class TraceWriter {
  public:
    using Sink = std::function<void(ByteView)>;
    TraceWriter(const TraceHeader& header, Sink sink);
    ~TraceWriter() { flush(); }
    TraceWriter(const TraceWriter&) = delete;

    void write(const TraceRecord& record);
    void flush();

  private:
    static constexpr std::size_t kBuffer = 64 * 1024;

    std::vector<std::byte> buffer_;
    std::size_t used_ = 0;
    std::int64_t last_ns_ = 0;
    Sink sink_;
};

// Reads what a TraceWriter wrote. The bytes come from a file: all else is an error. They outlive
// the reader and its records (an arrival's luggage points into them).
class TraceReader {
  public:
    static Result<TraceReader> open(ByteView bytes);
    const TraceHeader& header() const { return header_; }
    // None at the end. A last record that is cut off (the node was killed) counts as the end.
    Result<std::optional<TraceRecord>> next();

  private:
    explicit TraceReader(ByteView bytes) : reader_(bytes) {}

    ByteReader reader_;
    TraceHeader header_;
    std::int64_t last_ns_ = 0;
};

// Does what `inner` does, and records it.
std::unique_ptr<Policy> make_recording(std::unique_ptr<Policy> inner, const TraceHeader& header,
                                       TraceWriter::Sink sink);

}  // namespace vsmp::locality
