// Messages over a connected stream socket (unix or TCP): u32 little-endian length, then protobuf.
//
// One thread: the one that runs the socket's io_context calls everything and is called back.
// Bounded: a message over kMaxMessageBytes closes the stream; a full send queue is an error.
#pragma once

#include <boost/asio/generic/stream_protocol.hpp>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "proto/result.hpp"
#include "vmm/control/protocol.hpp"

namespace google::protobuf {
class MessageLite;
}

namespace vsmp::control {

namespace asio = boost::asio;
using StreamSocket = asio::generic::stream_protocol::socket;

struct StreamHandlers {
    // The bytes are valid during the call. Returning an error closes the stream with it.
    std::function<Result<void>(std::string_view)> on_message;
    // The stream ended by itself: the peer closed it (error.system == 0), I/O failed or the peer
    // sent rubbish. Called once, never after close().
    std::function<void(Error)> on_closed;
};

struct StreamLimits {
    std::size_t message_bytes = kMaxMessageBytes;
    std::size_t queue_bytes = 4 * kMaxMessageBytes;
};

class MessageStream : public std::enable_shared_from_this<MessageStream> {
  public:
    // Starts reading. The stream lives until it is closed and its last owner lets go.
    static std::shared_ptr<MessageStream> open(StreamSocket socket, StreamHandlers handlers,
                                               StreamLimits limits = {});

    // Queues a message; `on_written` is called when the kernel has all of it (not when it fails).
    // Errors: stream closed, queue full, message too large.
    Result<void> send(const google::protobuf::MessageLite& message,
                      std::function<void()> on_written = {});
    // Closes when everything queued so far has been written; nothing is read any more.
    void finish();
    // Closes now. No handler is called afterwards.
    void close();
    bool is_open() const { return state_ == State::open; }

  private:
    enum class State : unsigned char { open, finishing, closed };
    struct Outgoing {
        std::string bytes;  // with length prefix
        std::function<void()> on_written;
    };

    MessageStream(StreamSocket socket, StreamHandlers handlers, StreamLimits limits);
    void read_length();
    void read_body(std::size_t size);
    void write_next();
    void on_write_failed();
    void fail(Error error);

    StreamSocket socket_;
    StreamHandlers handlers_;
    StreamLimits limits_;
    State state_ = State::open;
    bool write_failed_ = false;
    std::vector<char> incoming_;
    std::deque<Outgoing> outgoing_;
    std::size_t queued_bytes_ = 0;
};

}  // namespace vsmp::control
