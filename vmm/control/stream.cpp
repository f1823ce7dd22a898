#include "vmm/control/stream.hpp"

#include <google/protobuf/message_lite.h>

#include <array>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>

#include "proto/bytes.hpp"

namespace vsmp::control {
namespace {

constexpr std::size_t kPrefix = sizeof(std::uint32_t);

Error end_of_stream(const boost::system::error_code& code) {
    if (code == asio::error::eof || code == asio::error::connection_reset ||
        code == asio::error::broken_pipe)
        return {"the connection was closed"};
    return {"control connection: " + code.message(), code.value()};
}

}  // namespace

std::shared_ptr<MessageStream> MessageStream::open(StreamSocket socket, StreamHandlers handlers,
                                                   StreamLimits limits) {
    std::shared_ptr<MessageStream> stream{
        new MessageStream{std::move(socket), std::move(handlers), limits}};
    stream->read_length();
    return stream;
}

MessageStream::MessageStream(StreamSocket socket, StreamHandlers handlers, StreamLimits limits)
    : socket_(std::move(socket)), handlers_(std::move(handlers)), limits_(limits) {}

void MessageStream::read_length() {
    incoming_.resize(kPrefix);
    asio::async_read(socket_, asio::buffer(incoming_),
                     [self = shared_from_this()](boost::system::error_code code, std::size_t) {
                         if (self->state_ != State::open) return;
                         if (code) return self->fail(end_of_stream(code));
                         ByteReader reader{std::as_bytes(std::span{self->incoming_})};
                         const std::size_t size = reader.read<std::uint32_t>();
                         if (size > self->limits_.message_bytes)
                             return self->fail({"a control message of " + std::to_string(size) +
                                                " bytes; the limit is " +
                                                std::to_string(self->limits_.message_bytes)});
                         self->read_body(size);
                     });
}

void MessageStream::read_body(std::size_t size) {
    incoming_.resize(size);
    asio::async_read(socket_, asio::buffer(incoming_),
                     [self = shared_from_this()](boost::system::error_code code, std::size_t) {
                         if (self->state_ != State::open) return;
                         if (code) return self->fail(end_of_stream(code));
                         auto taken = self->handlers_.on_message(
                             std::string_view{self->incoming_.data(), self->incoming_.size()});
                         if (self->state_ != State::open) return;
                         if (!taken) return self->fail(taken.error());
                         self->read_length();
                     });
}

Result<void> MessageStream::send(const google::protobuf::MessageLite& message,
                                 std::function<void()> on_written) {
    if (state_ != State::open) return Error{"the control connection is closed"};
    if (write_failed_) return {};  // the reader is about to find out, see on_write_failed
    const std::size_t size = message.ByteSizeLong();
    if (size > limits_.message_bytes) return Error{"control message too large"};
    if (queued_bytes_ + size + kPrefix > limits_.queue_bytes)
        return Error{"the peer does not read its control messages"};
    Outgoing next{std::string(kPrefix + size, '\0'), std::move(on_written)};
    ByteWriter prefix{std::as_writable_bytes(std::span{next.bytes}.first(kPrefix))};
    prefix.write(static_cast<std::uint32_t>(size));
    VSMP_CHECK(message.SerializeToArray(next.bytes.data() + kPrefix, static_cast<int>(size)),
               "protobuf could not serialize");
    queued_bytes_ += next.bytes.size();
    outgoing_.push_back(std::move(next));
    if (outgoing_.size() == 1) write_next();
    return {};
}

void MessageStream::write_next() {
    asio::async_write(socket_, asio::buffer(outgoing_.front().bytes),
                      [self = shared_from_this()](boost::system::error_code code, std::size_t) {
                          if (self->state_ == State::closed) return;
                          if (code) return self->on_write_failed();
                          const auto on_written = std::move(self->outgoing_.front().on_written);
                          self->queued_bytes_ -= self->outgoing_.front().bytes.size();
                          self->outgoing_.pop_front();
                          if (!self->outgoing_.empty())
                              self->write_next();
                          else if (self->state_ == State::finishing)
                              return self->close();
                          if (on_written) on_written();
                      });
}

// The peer is gone, but its last words may be here unread: reading goes on, and reports the end.
void MessageStream::on_write_failed() {
    write_failed_ = true;
    outgoing_.clear();
    if (state_ == State::finishing) close();
}

void MessageStream::finish() {
    if (state_ != State::open) return;
    state_ = State::finishing;
    if (outgoing_.empty()) close();
}

void MessageStream::close() {
    if (state_ == State::closed) return;
    state_ = State::closed;
    boost::system::error_code ignored;
    socket_.close(ignored);
}

void MessageStream::fail(Error error) {
    const bool tell = state_ == State::open;
    close();
    if (tell) handlers_.on_closed(std::move(error));
}

}  // namespace vsmp::control
