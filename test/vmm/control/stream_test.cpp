#include "vmm/control/stream.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <optional>

#include "proto/control.pb.h"

namespace vsmp::control {
namespace {

struct End {
    std::shared_ptr<MessageStream> stream;
    std::vector<std::string> received;
    std::optional<Error> closed;
};

class StreamTest : public testing::Test {
  protected:
    void SetUp() override { ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds_.data()), 0); }
    ~StreamTest() override {
        for (auto* end : {&a_, &b_})
            if (end->stream) end->stream->close();
        if (raw_ >= 0) ::close(raw_);
    }

    void open(End& end, int which, StreamLimits limits = {}) {
        StreamSocket socket{io_, asio::generic::stream_protocol{AF_UNIX, 0}, fds_[which]};
        end.stream = MessageStream::open(
            std::move(socket),
            {.on_message = [&end](std::string_view bytes) -> Result<void> {
                 end.received.emplace_back(bytes);
                 if (end.received.back() == "bad") return Error{"refused"};
                 return {};
             },
             .on_closed = [&end](Error error) { end.closed = std::move(error); }},
            limits);
    }
    int raw(int which) { return raw_ = fds_[which]; }
    static wire::FromNode message(std::size_t size) {
        wire::FromNode m;
        m.mutable_console()->set_data(std::string(size, 'x'));
        return m;
    }

    asio::io_context io_;
    std::array<int, 2> fds_{};
    int raw_ = -1;
    End a_, b_;
};

TEST_F(StreamTest, MessagesArriveWholeAndInOrder) {
    open(a_, 0);
    open(b_, 1);
    int written = 0;
    for (std::size_t size : {0u, 1u, 100'000u, 3'000'000u})
        ASSERT_TRUE(a_.stream->send(message(size), [&] { ++written; }));
    a_.stream->finish();
    io_.run();
    ASSERT_EQ(b_.received.size(), 4u);
    EXPECT_EQ(b_.received[3], message(3'000'000).SerializeAsString());
    EXPECT_EQ(written, 3);  // the last one's end is the stream's end
    ASSERT_TRUE(b_.closed);
    EXPECT_EQ(b_.closed->system, 0);
    EXPECT_FALSE(a_.closed);
}

TEST_F(StreamTest, TooLongAMessageEndsTheStreamUnread) {
    open(a_, 0, {.message_bytes = 16});
    const std::uint8_t length[] = {17, 0, 0, 0};
    ASSERT_EQ(::write(raw(1), length, 4), 4);
    io_.run();
    ASSERT_TRUE(a_.closed);
    EXPECT_EQ(a_.closed->message, "a control message of 17 bytes; the limit is 16");
    EXPECT_FALSE(a_.stream->is_open());
}

TEST_F(StreamTest, HandlersErrorEndsTheStream) {
    open(a_, 0);
    const std::uint8_t bytes[] = {3, 0, 0, 0, 'b', 'a', 'd', 3};
    ASSERT_EQ(::write(raw(1), bytes, sizeof bytes), ssize_t{sizeof bytes});
    io_.run();
    ASSERT_TRUE(a_.closed);
    EXPECT_EQ(a_.closed->message, "refused");
}

TEST_F(StreamTest, EndInsideAMessageIsAnEnd) {
    open(a_, 0);
    const std::uint8_t bytes[] = {9, 0, 0, 0, 'x'};
    ASSERT_EQ(::write(raw(1), bytes, sizeof bytes), ssize_t{sizeof bytes});
    ::close(std::exchange(raw_, -1));
    io_.run();
    ASSERT_TRUE(a_.closed);
    EXPECT_TRUE(a_.received.empty());
}

TEST_F(StreamTest, FullQueueIsAnErrorAndNothingIsLostOfTheRest) {
    open(a_, 0, {.message_bytes = 1 << 20, .queue_bytes = 1 << 20});
    ASSERT_TRUE(a_.stream->send(message(600'000)));
    auto refused = a_.stream->send(message(600'000));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().message, "the peer does not read its control messages");
    open(b_, 1);
    a_.stream->finish();
    io_.run();
    EXPECT_EQ(b_.received.size(), 1u);
}

TEST_F(StreamTest, LastWordsOfAPeerThatIsGoneAreRead) {
    open(a_, 0);
    const std::uint8_t bytes[] = {2, 0, 0, 0, 'h', 'i'};
    ASSERT_EQ(::write(raw(1), bytes, sizeof bytes), ssize_t{sizeof bytes});
    ::close(std::exchange(raw_, -1));
    ASSERT_TRUE(a_.stream->send(message(10)));  // fails: nobody is there
    io_.run();
    EXPECT_EQ(a_.received, std::vector<std::string>{"hi"});
    EXPECT_TRUE(a_.closed);
}

TEST_F(StreamTest, ClosedStreamTakesNothing) {
    open(a_, 0);
    raw(1);
    a_.stream->close();
    EXPECT_FALSE(a_.stream->send(message(1)));
    io_.run();
    EXPECT_FALSE(a_.closed);  // it did not end by itself
}

}  // namespace
}  // namespace vsmp::control
