// Coherence messages between nodes. docs/PROTOCOL.md tells the whole story; in short: a home-based
// directory that serves one transaction per page at a time, one writer or many readers.
//
//   requester -> home       read_request, write_request, or upgrade_request: it has the contents
//   home -> provider        forward_read, forward_write: to a node that has the contents
//   home -> other sharers   invalidate
//   home -> requester       upgrade_grant: it has the contents still
//   provider -> requester   shared_data, exclusive_data
//   sharer -> requester     invalidate_ack
//   requester -> home       done: home then serves the next request for that page
//   owner -> home           release: it wants to be rid of the page. Home then asks for the page
//                           as any node would, or answers release_refused
#pragma once

#include <cstdint>
#include <optional>

#include "proto/bytes.hpp"
#include "proto/ids.hpp"
#include "proto/time.hpp"

namespace vsmp::coherence {

enum class MessageKind : std::uint8_t {
    read_request = 1,
    write_request,
    forward_read,
    forward_write,
    invalidate,
    invalidate_ack,
    shared_data,
    exclusive_data,
    upgrade_grant,
    done,
    upgrade_request,
    release,
    release_refused,
};

// How the contents of a page travel with a message. `same`: they are those that the requester said
// it still has.
enum class Contents : std::uint8_t { none, zero, page, same };

// Identifies contents: equal versions mean equal contents. Never 0, which stands for none.
using Version = std::uint64_t;

struct Message {
    MessageKind kind{};
    PageNumber page;
    NodeId requester;  // on whose behalf; the sender itself in *_request, done and release
    // Of exclusive_data, upgrade_grant and forward_write: how many invalidate_ack the requester has
    // to collect.
    std::uint8_t acks = 0;
    // Of shared_data and exclusive_data, which carry some.
    Contents contents = Contents::none;
    // Of read_request, write_request, forward_read and forward_write: the contents of a copy that
    // the requester may not use, but still has; 0: none. It keeps that copy until it is answered.
    Version version = 0;
    // Of forward_*, *_data, upgrade_grant and invalidate_ack: this took longer than it has to,
    // since somebody else was served first or held the page.
    bool waited = false;
    // What getting a page takes the sender, as a rule, in kHandOverUnits; 0: it does not know.
    std::uint16_t hand_over = 0;

    friend bool operator==(const Message&, const Message&) = default;
};

// Messages to one node travel in bundles, in order, as many as fit a message of the fabric; each
// counts as if it had come alone.
//
// kind u8, contents u8, acks u8, requester u8, waited u8 (0 or 1), zero u8, hand_over u16, page
// u64, version u64: 24 bytes, then kPageSize bytes of contents when contents == page.
inline constexpr Duration kHandOverUnit = std::chrono::microseconds(8);
inline constexpr std::size_t kMessageHeaderSize = 24;

struct DecodedMessage {
    Message message;
    ByteView contents;  // kPageSize bytes, or empty; points into the decoded bytes
};

// Writes the header only; the contents follow as the caller's second segment.
void encode(const Message& message, ByteWriter& to);
// nullopt when malformed: unknown kind, page >= page_count, requester >= node_count, wrong length,
// contents, a version or `waited` on a kind that carries none, acks >= node_count.
std::optional<DecodedMessage> decode(ByteView bytes, std::uint64_t page_count,
                                     std::size_t node_count);

// Cuts the first message off a bundle: messages one behind the other. What does not look like one
// is cut off whole, for decode() to refuse.
ByteView take_message(ByteView& bundle);

}  // namespace vsmp::coherence
