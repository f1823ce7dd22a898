#include "page_fault_broker/io/outbox.hpp"

namespace vsmp {

void Outbox::push(fabric::Fabric& fabric, NodeId to, const coherence::Message& message,
                  ByteView contents) {
    const std::size_t size = coherence::kMessageHeaderSize + contents.size();
    if (to != to_ || size_ + size > fabric::kMaxPayload) flush(fabric);
    if (size_ == 0) bytes_ = fabric.compose();
    to_ = to;
    ByteWriter writer{bytes_.subspan(size_, size)};
    coherence::encode(message, writer);
    writer.write(contents);
    size_ += writer.size();
}

void Outbox::flush(fabric::Fabric& fabric) {
    if (size_ == 0) return;
    fabric.send_composed(to_, fabric::Channel::coherence, size_);
    size_ = 0;
}

}  // namespace vsmp
