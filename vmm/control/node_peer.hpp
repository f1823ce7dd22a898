// vsmp-run's end of the control connection to one node, and the node's process if it is local.
// Used on the io_context's thread.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "proto/control.pb.h"
#include "vmm/control/process.hpp"
#include "vmm/control/stream.hpp"
#include "vmm/node/node.hpp"

namespace vsmp::control {

class NodePeerObserver {
  public:
    virtual ~NodePeerObserver() = default;
    virtual void on_facts(NodeId node, NodeFacts facts) = 0;
    virtual void on_links_up(NodeId node) = 0;
    virtual void on_console(std::string bytes) = 0;
    virtual void on_stats(NodeId node, std::uint64_t request, NodeStats stats) = 0;
    // To ship() and set_policy(). `error` is empty when the node has accepted.
    virtual void on_reply(std::uint64_t request, std::string error) = 0;
    virtual void on_guest_ended(GuestEnd how, std::string detail) = 0;
    // Nothing more will come from this node. The message names it.
    virtual void on_node_failed(NodeId node, std::string message) = 0;
    // Connection and process are gone.
    virtual void on_gone(NodeId node) = 0;
};

class NodePeer {
  public:
    NodePeer(asio::io_context& io, NodeConfig config, NodePeerObserver& observer);
    ~NodePeer();
    NodePeer(const NodePeer&) = delete;

    // Starts `program --control-fd 3 --label LABEL` as a child.
    Result<void> start_local(const std::string& program, const std::string& label,
                             int net_namespace);
    // Connects to the vsmpd at config.host; the outcome comes through the observer.
    void connect_remote();

    // `setup` is kept until its files have been sent.
    void prepare(NodeSetup setup);
    void start();
    void console_input(const std::string& bytes, std::function<void()> on_written);
    void request_stats(std::uint64_t request);
    void ship(std::uint64_t request, VcpuId vcpu, NodeId to);
    void set_policy(std::uint64_t request, const std::string& name);
    // Asks the node to end; on_gone follows unless it hangs.
    void stop();
    void kill_now();

    const NodeConfig& config() const { return config_; }
    bool gone() const { return gone_; }
    bool is_on_other_machine() const { return leaves_machine_; }

  private:
    using Tcp = asio::ip::tcp;
    void attach(StreamSocket socket);
    void on_connected(Tcp::socket socket);
    Result<void> on_message(std::string_view bytes);
    Result<void> on_hello(const wire::Hello& hello);
    void on_closed(const Error& error);
    void on_child_ended(std::string how);
    void settle();
    void send_next_chunk();
    void send(const wire::ToNode& message, std::function<void()> on_written = {});
    void fail(const std::string& message);

    asio::io_context& io_;
    NodeConfig config_;
    NodePeerObserver& observer_;
    std::unique_ptr<ChildProcess> child_;
    std::shared_ptr<MessageStream> stream_;
    Tcp::resolver resolver_;
    std::optional<Tcp::socket> connecting_;
    asio::steady_timer child_grace_;  // from the end of the connection to the end of the child
    NodeSetup setup_;
    std::size_t file_sent_ = 0;  // bytes of kernel + initrd
    bool greeted_ = false;
    bool failed_ = false;
    bool leaves_machine_ = false;  // its control connection does
    bool stopping_ = false;
    bool gone_ = false;
    std::optional<Error> closed_;
    std::string child_end_;
};

// "HOST", "HOST:PORT", "[V6]:PORT" -> host, port.
std::pair<std::string, std::string> split_host(const std::string& host);

}  // namespace vsmp::control
