#include "vmm/control/node_peer.hpp"

#include <fmt/format.h>
#include <netinet/tcp.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <boost/asio/connect.hpp>

#include "vmm/control/convert.hpp"
#include "vmm/control/preflight.hpp"

namespace vsmp::control {
namespace {

constexpr auto kChildGrace = std::chrono::seconds(2);

// A host that vanished without a word is noticed after about 25 s.
void watch_for_death(asio::ip::tcp::socket& socket) {
    boost::system::error_code ignored;
    socket.set_option(asio::ip::tcp::no_delay{true}, ignored);
    socket.set_option(asio::socket_base::keep_alive{true}, ignored);
    using asio::detail::socket_option::integer;
    socket.set_option(integer<IPPROTO_TCP, TCP_KEEPIDLE>{10}, ignored);
    socket.set_option(integer<IPPROTO_TCP, TCP_KEEPINTVL>{5}, ignored);
    socket.set_option(integer<IPPROTO_TCP, TCP_KEEPCNT>{3}, ignored);
    socket.set_option(integer<IPPROTO_TCP, TCP_USER_TIMEOUT>{25'000}, ignored);
}

}  // namespace

std::pair<std::string, std::string> split_host(const std::string& host) {
    const std::string standard = std::to_string(kDefaultPort);
    if (!host.empty() && host.front() == '[') {
        const std::size_t end = host.find(']');
        if (end == host.npos) return {host, standard};
        const bool has_port = end + 1 < host.size() && host[end + 1] == ':';
        return {host.substr(1, end - 1), has_port ? host.substr(end + 2) : standard};
    }
    const std::size_t colon = host.find(':');
    if (colon == host.npos || host.find(':', colon + 1) != host.npos) return {host, standard};
    return {host.substr(0, colon), host.substr(colon + 1)};
}

NodePeer::NodePeer(asio::io_context& io, NodeConfig config, NodePeerObserver& observer)
    : io_(io), config_(std::move(config)), observer_(observer), resolver_(io), child_grace_(io) {}

NodePeer::~NodePeer() {
    if (stream_) stream_->close();
}

Result<void> NodePeer::start_local(const std::string& program, const std::string& label,
                                   int net_namespace) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return Error::from_errno("socketpair");
    UniqueFd ours{ends[0]}, theirs{ends[1]};
    const std::vector<std::string> command{program, "--control-fd", std::to_string(kInheritedFd),
                                           "--label", label};
    VSMP_TRY_ASSIGN(child_, ChildProcess::spawn(io_, command, std::move(theirs), net_namespace));
    child_->when_ended([this](std::string how) { on_child_ended(std::move(how)); });
    StreamSocket socket{io_};
    socket.assign(asio::generic::stream_protocol{AF_UNIX, 0}, ours.release());
    attach(std::move(socket));
    return {};
}

void NodePeer::connect_remote() {
    const auto [host, port] = split_host(config_.host);
    resolver_.async_resolve(
        host, port,
        [this, port = port](boost::system::error_code code,
                            const Tcp::resolver::results_type& found) {
            if (failed_ || stopping_) return;
            if (code) return fail("no such host: " + code.message());
            connecting_.emplace(io_);
            asio::async_connect(*connecting_, found,
                                [this, port](boost::system::error_code failed, const auto&) {
                                    if (failed_ || stopping_) return;
                                    if (failed)
                                        return fail(fmt::format("cannot reach vsmpd on port {}: {}",
                                                                port, failed.message()));
                                    on_connected(std::move(*connecting_));
                                });
        });
}

void NodePeer::on_connected(Tcp::socket socket) {
    watch_for_death(socket);
    boost::system::error_code code;
    leaves_machine_ = !socket.remote_endpoint(code).address().is_loopback();
    connecting_.reset();
    attach(StreamSocket{std::move(socket)});
}

void NodePeer::attach(StreamSocket socket) {
    stream_ = MessageStream::open(
        std::move(socket), {.on_message = [this](std::string_view b) { return on_message(b); },
                            .on_closed = [this](const Error& error) { on_closed(error); }});
    wire::ToNode hello;
    hello.mutable_hello()->set_protocol_version(kProtocolVersion);
    hello.mutable_hello()->set_build(kBuild);
    send(hello);
}

Result<void> NodePeer::on_message(std::string_view bytes) {
    wire::FromNode message;
    if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
        return Error{"it sent a malformed control message"};
    if (failed_) return {};
    if (!greeted_ && message.kind_case() != wire::FromNode::kHello)
        return Error{"it does not speak vsmp's control protocol"};
    switch (message.kind_case()) {
        case wire::FromNode::kHello:
            return on_hello(message.hello());
        case wire::FromNode::kFacts: {
            VSMP_TRY_ASSIGN(NodeFacts facts, from_wire(message.facts()));
            observer_.on_facts(config_.id, std::move(facts));
            return {};
        }
        case wire::FromNode::kLinksUp:
            observer_.on_links_up(config_.id);
            return {};
        case wire::FromNode::kConsole:
            observer_.on_console(std::move(*message.mutable_console()->mutable_data()));
            return {};
        case wire::FromNode::kShip:
            observer_.on_reply(message.ship().request(), message.ship().error());
            return {};
        case wire::FromNode::kStats:
            observer_.on_stats(config_.id, message.stats().request(),
                               from_wire(message.stats().stats()));
            return {};
        case wire::FromNode::kGuestEnded:
            observer_.on_guest_ended(from_wire(message.guest_ended().how()),
                                     message.guest_ended().detail());
            return {};
        case wire::FromNode::kNotice:
            spdlog::warn("{}: {}", node_label(config_), message.notice().text());
            return {};
        case wire::FromNode::kFailed:
            fail(message.failed().message());
            return {};
        case wire::FromNode::KIND_NOT_SET:
            break;
    }
    return Error{"it sent a control message of unknown kind"};
}

Result<void> NodePeer::on_hello(const wire::Hello& hello) {
    greeted_ = true;
    if (hello.protocol_version() == kProtocolVersion) {
        if (leaves_machine_)
            spdlog::warn(
                "{}: the control connection is NOT encrypted and NOT authenticated; use a network "
                "you trust",
                node_label(config_));
        return {};
    }
    fail(fmt::format("it speaks control protocol {} ({}), this vsmp-run speaks {} ({})",
                     hello.protocol_version(), hello.build(), kProtocolVersion, kBuild));
    return {};
}

void NodePeer::prepare(NodeSetup setup) {
    setup_ = std::move(setup);
    wire::ToNode message;
    to_wire(setup_, *message.mutable_prepare());
    send(message, [this] { send_next_chunk(); });
}

// One chunk at a time: whatever the size of the files, the queue stays short.
void NodePeer::send_next_chunk() {
    const std::size_t kernel = setup_.kernel.size();
    const bool in_kernel = file_sent_ < kernel;
    const std::vector<std::byte>& file = in_kernel ? setup_.kernel : setup_.initrd;
    const std::size_t at = in_kernel ? file_sent_ : file_sent_ - kernel;
    const std::size_t size = std::min(kFileChunkBytes, file.size() - at);
    if (size == 0) {
        setup_ = {};
        return;
    }
    wire::ToNode message;
    message.mutable_file_chunk()->set_data(file.data() + at, size);
    file_sent_ += size;
    send(message, [this] { send_next_chunk(); });
}

void NodePeer::start() {
    wire::ToNode message;
    message.mutable_start();
    send(message);
}

void NodePeer::console_input(const std::string& bytes, std::function<void()> on_written) {
    wire::ToNode message;
    message.mutable_console()->set_data(bytes);
    send(message, std::move(on_written));
}

void NodePeer::request_stats(std::uint64_t request) {
    wire::ToNode message;
    message.mutable_stats()->set_request(request);
    send(message);
}

void NodePeer::set_policy(std::uint64_t request, const std::string& name) {
    wire::ToNode message;
    message.mutable_policy()->set_request(request);
    message.mutable_policy()->set_name(name);
    send(message);
}

void NodePeer::ship(std::uint64_t request, VcpuId vcpu, NodeId to) {
    wire::ToNode message;
    message.mutable_ship()->set_request(request);
    message.mutable_ship()->set_vcpu(vcpu.value());
    message.mutable_ship()->set_to(to.value());
    send(message);
}

void NodePeer::stop() {
    if (std::exchange(stopping_, true)) return;
    resolver_.cancel();
    connecting_.reset();
    if (stream_ && stream_->is_open()) {
        wire::ToNode message;
        message.mutable_stop();
        // The node answers by closing. A remote one is not waited for: it ends by itself.
        if (stream_->send(message) && child_) return settle();
        stream_->finish();
    }
    if (!closed_) closed_ = Error{"stopped"};
    settle();
}

void NodePeer::kill_now() {
    if (child_) child_->kill_now();
}

void NodePeer::on_closed(const Error& error) {
    closed_ = error;
    if (child_ && child_->running()) {
        child_grace_.expires_after(kChildGrace);
        child_grace_.async_wait([this](boost::system::error_code code) {
            if (!code && !stopping_) fail(closed_->message);
        });
    }
    settle();
}

void NodePeer::on_child_ended(std::string how) {
    child_grace_.cancel();
    child_end_ = std::move(how);
    settle();
}

// The end of the connection tells that, the end of the process tells why: wait for both.
void NodePeer::settle() {
    const bool child_over = !child_ || !child_->running();
    if (!closed_ || !child_over || gone_) return;
    if (!failed_ && !stopping_) fail(child_ ? "its process " + child_end_ : closed_->message);
    gone_ = true;
    observer_.on_gone(config_.id);
}

void NodePeer::send(const wire::ToNode& message, std::function<void()> on_written) {
    if (!stream_ || failed_) return;
    if (auto sent = stream_->send(message, std::move(on_written)); !sent && !closed_ && !stopping_)
        fail(sent.error().message);
}

void NodePeer::fail(const std::string& message) {
    if (std::exchange(failed_, true) || stopping_) return;
    observer_.on_node_failed(config_.id, node_label(config_) + ": " + message);
}

}  // namespace vsmp::control
