#include "vmm/control/node_client.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <limits>
#include <mutex>

#include "vmm/control/convert.hpp"

namespace vsmp::control {
namespace {

constexpr std::size_t kConsoleBacklog = 1u << 20;  // bytes the guest wrote and nobody reads yet
constexpr std::size_t kConsoleMessage = 64u << 10;
constexpr auto kLastWords = std::chrono::seconds(2);
constexpr auto kHelloPatience = std::chrono::seconds(10);

// Console bytes on their way from any of the node's threads to the control thread. Bounded: what
// does not fit is dropped and counted, for the guest must not wait for a terminal.
class ConsoleBacklog {
  public:
    // True when the control thread has to be told.
    bool add(const std::string& bytes) {
        std::lock_guard lock{mutex_};
        if (bytes_.size() + bytes.size() > kConsoleBacklog) {
            dropped_ += bytes.size();
            return false;
        }
        const bool first = bytes_.empty();
        bytes_ += bytes;
        return first;
    }

    std::string take() {
        std::lock_guard lock{mutex_};
        std::string taken = bytes_.substr(0, kConsoleMessage);
        bytes_.erase(0, taken.size());
        if (bytes_.empty() && dropped_ != 0) {
            taken += "\r\n[vsmp: " + std::to_string(dropped_) + " bytes of console lost]\r\n";
            dropped_ = 0;
        }
        return taken;
    }

  private:
    std::mutex mutex_;
    std::string bytes_;
    std::size_t dropped_ = 0;
};

class NodeClient final : public NodeObserver {
  public:
    NodeClient(StreamSocket socket, asio::io_context& io, const NodeServices& services)
        : io_(io), services_(services), hello_deadline_(io), last_words_(io) {
        stream_ = MessageStream::open(
            std::move(socket),
            {.on_message = [this](std::string_view bytes) { return on_message(bytes); },
             .on_closed = [this](const Error&) { end(NodeExit::orphaned); }});
        wire::FromNode hello;
        hello.mutable_hello()->set_protocol_version(services_.protocol_version);
        hello.mutable_hello()->set_build(kBuild);
        send(hello);
        // Whoever connects to a vsmpd and says nothing must not keep a place in it.
        hello_deadline_.expires_after(kHelloPatience);
        hello_deadline_.async_wait([this](boost::system::error_code code) {
            if (!code) end(NodeExit::orphaned);
        });
    }
    ~NodeClient() override { stream_->close(); }

    NodeExit run() {
        io_.run();
        node_.reset();  // joins the node's threads, which call back into this object until then
        return exit_;
    }

    // NodeObserver, on any thread.
    void on_links_up() override {
        asio::post(io_, [this] {
            wire::FromNode message;
            message.mutable_links_up();
            send(message);
        });
    }
    void on_console_output(std::string bytes) override {
        if (console_.add(bytes)) asio::post(io_, [this] { flush_console(); });
    }
    void on_guest_ended(GuestEnd how, std::string detail) override {
        asio::post(io_, [this, how, detail = std::move(detail)] {
            wire::FromNode message;
            message.mutable_guest_ended()->set_how(to_wire(how));
            message.mutable_guest_ended()->set_detail(detail);
            guest_ended_ = std::move(message);
            flush_console();
        });
    }
    void on_notice(std::string text) override {
        asio::post(io_, [this, text = std::move(text)] {
            wire::FromNode message;
            message.mutable_notice()->set_text(text);
            send(message);
        });
    }
    void on_failed(Error error) override {
        asio::post(io_, [this, error = std::move(error)] { fail(error); });
    }

  private:
    enum class Stage : std::uint8_t { hello, facts, files, links, running };

    Result<void> on_message(std::string_view bytes) {
        wire::ToNode message;
        if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
            return Error{"malformed control message"};
        if (exit_ == NodeExit::failed && !message.has_stop()) return {};
        if (auto done = handle(message); !done) fail(done.error());
        return {};
    }

    Result<void> handle(const wire::ToNode& message) {
        switch (message.kind_case()) {
            case wire::ToNode::kHello:
                return on_hello(message.hello());
            case wire::ToNode::kPrepare:
                return on_prepare(message.prepare());
            case wire::ToNode::kFileChunk:
                return on_file_chunk(message.file_chunk().data());
            case wire::ToNode::kStart:
                if (stage_ != Stage::links) return Error{"start out of order"};
                stage_ = Stage::running;
                return node_->start();
            case wire::ToNode::kConsole:
                if (stage_ == Stage::running) node_->console_input(message.console().data());
                return {};
            case wire::ToNode::kShip:
                on_ship(message.ship());
                return {};
            case wire::ToNode::kPolicy:
                on_policy(message.policy());
                return {};
            case wire::ToNode::kStats:
                on_stats(message.stats());
                return {};
            case wire::ToNode::kStop:
                end(NodeExit::stopped);
                return {};
            case wire::ToNode::KIND_NOT_SET:
                break;
        }
        return Error{"control message of unknown kind"};
    }

    Result<void> on_hello(const wire::Hello& hello) {
        if (stage_ != Stage::hello) return Error{"hello out of order"};
        hello_deadline_.cancel();
        // vsmp-run compares the versions too and says more about it.
        if (hello.protocol_version() != services_.protocol_version)
            return Error{"vsmp-run speaks control protocol " +
                         std::to_string(hello.protocol_version()) + ", this node speaks " +
                         std::to_string(services_.protocol_version)};
        VSMP_TRY_ASSIGN(const NodeFacts facts, services_.facts());
        stage_ = Stage::facts;
        wire::FromNode message;
        to_wire(facts, *message.mutable_facts());
        send(message);
        return {};
    }

    Result<void> on_prepare(const wire::Prepare& prepare) {
        if (stage_ != Stage::facts) return Error{"prepare out of order"};
        VSMP_TRY_ASSIGN(setup_, from_wire(prepare));
        kernel_missing_ = prepare.kernel_bytes();
        initrd_missing_ = prepare.initrd_bytes();
        stage_ = Stage::files;
        return create_when_complete();
    }

    Result<void> on_file_chunk(std::string_view data) {
        if (stage_ != Stage::files) return Error{"file chunk out of order"};
        const ByteView bytes = std::as_bytes(std::span{data});
        std::uint64_t& missing = kernel_missing_ != 0 ? kernel_missing_ : initrd_missing_;
        std::vector<std::byte>& file = kernel_missing_ != 0 ? setup_.kernel : setup_.initrd;
        if (bytes.empty() || bytes.size() > missing) return Error{"file chunk of wrong size"};
        file.insert(file.end(), bytes.begin(), bytes.end());
        missing -= bytes.size();
        return create_when_complete();
    }

    Result<void> create_when_complete() {
        if (kernel_missing_ != 0 || initrd_missing_ != 0) return {};
        stage_ = Stage::links;
        VSMP_TRY_ASSIGN(node_, services_.create(std::move(setup_), *this));
        return {};
    }

    void on_ship(const wire::ShipRequest& request) {
        wire::FromNode message;
        message.mutable_ship()->set_request(request.request());
        Result<void> asked = Error{"the guest is not running"};
        if (stage_ == Stage::running && request.to() < kMaxNodes && request.vcpu() < kMaxVcpus)
            asked = node_->ship(VcpuId{static_cast<std::uint16_t>(request.vcpu())},
                                NodeId{static_cast<std::uint8_t>(request.to())});
        if (!asked) message.mutable_ship()->set_error(asked.error().message);
        send(message);
    }

    void on_policy(const wire::PolicyRequest& request) {
        wire::FromNode message;
        message.mutable_ship()->set_request(request.request());
        Result<void> done = Error{"the guest is not running"};
        if (stage_ == Stage::running) done = node_->set_policy(request.name());
        if (!done) message.mutable_ship()->set_error(done.error().message);
        send(message);
    }

    void on_stats(const wire::StatsRequest& request) {
        wire::FromNode message;
        message.mutable_stats()->set_request(request.request());
        wire::NodeStats& stats = *message.mutable_stats()->mutable_stats();
        if (stage_ == Stage::running) to_wire(node_->stats(), stats);
        send(message);
    }

    // One console message at a time, so that the backlog's bound is the bound of everything.
    void flush_console() {
        if (console_busy_ || !stream_->is_open()) return;
        const std::string bytes = console_.take();
        if (bytes.empty()) {
            if (guest_ended_) send(*std::exchange(guest_ended_, std::nullopt));
            return;
        }
        wire::FromNode message;
        message.mutable_console()->set_data(bytes);
        console_busy_ = true;
        send(message, [this] {
            console_busy_ = false;
            flush_console();
        });
    }

    void send(const wire::FromNode& message, std::function<void()> on_written = {}) {
        if (auto sent = stream_->send(message, std::move(on_written)); !sent)
            end(NodeExit::orphaned);
    }

    // Then waits for vsmp-run to say stop or close: closing first, with something of its unread,
    // would reset a TCP connection and lose the message.
    void fail(const Error& error) {
        if (exit_ == NodeExit::failed) return;
        exit_ = NodeExit::failed;
        wire::FromNode message;
        message.mutable_failed()->set_message(error.message);
        send(message);
        last_words_.expires_after(kLastWords);
        last_words_.async_wait([this](boost::system::error_code code) {
            if (!code) io_.stop();
        });
    }

    void end(NodeExit how) {
        if (exit_ != NodeExit::failed) exit_ = how;
        io_.stop();
    }

    asio::io_context& io_;
    const NodeServices& services_;
    asio::steady_timer hello_deadline_, last_words_;
    ConsoleBacklog console_;
    std::shared_ptr<MessageStream> stream_;
    Stage stage_ = Stage::hello;
    NodeSetup setup_;
    std::uint64_t kernel_missing_ = 0, initrd_missing_ = 0;
    bool console_busy_ = false;
    std::optional<wire::FromNode> guest_ended_;
    NodeExit exit_ = NodeExit::orphaned;
    std::unique_ptr<Node> node_;  // last: destroyed first
};

}  // namespace

NodeExit serve_node(StreamSocket socket, asio::io_context& io, const NodeServices& services) {
    return NodeClient{std::move(socket), io, services}.run();
}

}  // namespace vsmp::control
