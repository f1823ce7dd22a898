#include "vmm/control/launcher.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/random.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "proto/socket_file.hpp"
#include "vmm/control/control_desk.hpp"
#include "vmm/control/convert_fabric.hpp"
#include "vmm/control/fleet.hpp"
#include "vmm/control/local_links.hpp"
#include "vmm/control/spread.hpp"
#include "vmm/control/stop_signals.hpp"
#include "vmm/control/terminal.hpp"

namespace vsmp::control {
namespace {

constexpr auto kStopTimeout = std::chrono::seconds(5);  // for nodes to end by themselves
constexpr auto kFlushTimeout = std::chrono::seconds(1);
constexpr auto kSpreadPoll = std::chrono::milliseconds(250);

std::uint64_t random_incarnation() {
    std::uint64_t value = 0;
    VSMP_CHECK(::getrandom(&value, sizeof value, 0) == sizeof value, "getrandom");
    return value;
}

// A vhost-user server that was killed leaves its socket's file.
void remove_dead_sockets(const GuestConfig& guest) {
    for (const NodeConfig& node : guest.nodes)
        for (const LinkConfig& link : node.links) {
            const auto* pair = std::get_if<VhostUserLink>(&link);
            if (node.host != "local" || pair == nullptr) continue;
            if (look_at_socket_file(pair->socket) == SocketFile::dead)
                (void)clear_socket_file(pair->socket);
        }
}

class Launcher final : public NodePeerObserver {
  public:
    Launcher(RunRequest request, LocalLinks links, StopSignals signals)
        : request_(std::move(request)),
          links_(std::move(links)),
          signals_(std::move(signals)),
          start_deadline_(io_),
          stop_deadline_(io_),
          spread_timer_(io_),
          spread_(request_.guest, request_.spread_marker),
          fleet_(request_.guest.nodes.size()),
          desk_(request_.guest, fleet_) {}

    RunStatus run() {
        signals_.listen(io_, [this](int signal) {
            finish(RunStatus::stopped, fmt::format("stopped by signal {}", signal));
        });
        if (begin()) io_.run();
        return status_.value_or(RunStatus::node_failed);
    }

    // NodePeerObserver
    void on_facts(NodeId node, NodeFacts facts) override {
        if (status_ || phase_ != Phase::facts) return;
        facts_[node.value()] = std::move(facts);
        if (all_of(facts_)) prepare();
    }
    void on_links_up(NodeId node) override {
        links_up_[node.value()] = true;
        if (status_ || phase_ != Phase::links) return;
        if (std::find(links_up_.begin(), links_up_.end(), false) == links_up_.end()) start();
    }
    void on_console(std::string bytes) override {
        const bool up = spread_.on_console(bytes);
        if (terminal_) terminal_->write(std::move(bytes));
        if (up && !status_) poll_for_spread();
    }
    void on_stats(NodeId node, std::uint64_t request, NodeStats stats) override {
        fleet_.on_stats(node, request, std::move(stats));
    }
    void on_reply(std::uint64_t request, std::string error) override {
        fleet_.on_reply(request, error);
    }
    void on_guest_ended(GuestEnd how, std::string detail) override {
        const std::string more = detail.empty() ? "" : ": " + detail;
        switch (how) {
            case GuestEnd::power_off:
                return finish(RunStatus::powered_off, "");
            case GuestEnd::reset:
                return finish(RunStatus::reset, "the guest asked for a reset" + more);
            case GuestEnd::crashed:
                return finish(RunStatus::crashed, "the guest crashed" + more);
        }
    }
    void on_node_failed(NodeId, std::string message) override {
        finish(RunStatus::node_failed, message);
    }
    void on_gone(NodeId) override { end_when_all_gone(); }

  private:
    enum class Phase : std::uint8_t { facts, links, running };

    bool begin() {
        auto server = ControlServer::listen(
            io_, request_.guest.name,
            [this](const wire::ControlRequest& request, ControlServer::Reply reply) {
                on_control(request, std::move(reply));
            });
        if (!server) {
            status_ = RunStatus::usage;
            spdlog::error("{}", server.error().message);
            return false;
        }
        server_ = *std::move(server);
        start_deadline_.expires_after(request_.start_timeout);
        start_deadline_.async_wait([this](boost::system::error_code code) {
            if (!code) on_start_timeout();
        });
        const std::size_t count = request_.guest.nodes.size();
        facts_.resize(count);
        links_up_.resize(count, false);
        for (const NodeConfig& config : request_.guest.nodes)
            fleet_.peers().push_back(std::make_unique<NodePeer>(io_, config, *this));
        for (auto& peer : fleet_.peers()) {
            if (peer->config().host != "local") {
                peer->connect_remote();
                continue;
            }
            const std::string label =
                fmt::format("{}/{}", request_.guest.name, peer->config().id.value());
            auto started = peer->start_local(request_.node_program, label, links_.net_namespace());
            if (!started) {
                finish(RunStatus::node_failed,
                       started.error().in(node_label(peer->config())).message);
                break;
            }
        }
        return true;
    }

    template <class T>
    static bool all_of(const std::vector<std::optional<T>>& all) {
        return std::all_of(all.begin(), all.end(), [](const auto& one) { return one.has_value(); });
    }

    void prepare() {
        std::vector<NodeFacts> facts;
        for (auto& one : facts_) facts.push_back(std::move(*one));
        auto ground =
            find_common_ground(request_.guest, request_.files.kind, facts, request_.intersect);
        if (!ground) return finish(RunStatus::node_failed, ground.error().message);
        phase_ = Phase::links;
        const std::uint64_t incarnation = random_incarnation();
        for (auto& peer : fleet_.peers()) {
            NodeSetup setup;
            setup.guest = request_.guest;
            setup.kind = request_.files.kind;
            setup.self = peer->config().id;
            setup.incarnation = incarnation;
            setup.cpuid = ground->cpuid;
            setup.tsc_khz = ground->tsc_khz;
            if (setup.self == NodeId{0}) {
                setup.kernel = std::move(request_.files.kernel);
                setup.initrd = std::move(request_.files.initrd);
            }
            peer->prepare(std::move(setup));
        }
    }

    void start() {
        phase_ = Phase::running;
        warn_of_open_links();
        start_deadline_.cancel();
        terminal_.emplace(
            io_, request_.input_fd, request_.output_fd,
            TerminalHandlers{
                .on_input =
                    [this](std::string bytes, std::function<void()> resume) {
                        fleet_.peers().front()->console_input(bytes, std::move(resume));
                    },
                .on_leave = [this] { finish(RunStatus::stopped, "stopped by Ctrl-]"); },
            });
        if (terminal_->is_terminal()) spdlog::info("guest started; Ctrl-] stops it");
        for (auto& peer : fleet_.peers()) peer->start();
        if (spread_.wants_stats()) poll_for_spread();
    }

    // Frames of one machine stay in it; a wire between hosts is anybody's who is on it.
    void warn_of_open_links() const {
        const bool leaves = std::ranges::any_of(
            fleet_.peers(), [](const auto& peer) { return peer->is_on_other_machine(); });
        if (leaves && request_.guest.fabric.key_file.empty())
            spdlog::warn(
                "the links between the hosts have no key: whoever can send frames on that "
                "network can read and change the guest's memory (<vsmp:fabric key='FILE'/>)");
    }

    void on_start_timeout() {
        const auto seconds = request_.start_timeout.count();
        for (std::size_t i = 0; i < fleet_.peers().size(); ++i) {
            const std::string label = node_label(fleet_.peers()[i]->config());
            if (phase_ == Phase::facts && !facts_[i])
                return finish(RunStatus::node_failed,
                              fmt::format("{}: no answer within {} s", label, seconds));
            if (phase_ == Phase::links && !links_up_[i])
                return finish(RunStatus::node_failed,
                              fmt::format("{} cannot reach {} over {} within {} s", label,
                                          fleet_.peers().size() == 2 ? fmt::format("node {}", 1 - i)
                                                                     : "its peers",
                                          describe(fleet_.peers()[i]->config().links), seconds));
        }
    }

    // Statistics in regular rounds, only until the vCPUs are where they belong.
    void poll_for_spread() {
        if (!spread_.wants_stats() || status_) return;
        fleet_.collect_stats([this](const std::vector<NodeStats>& stats) {
            for (const ShipOrder& order : spread_.on_stats(stats)) ship_for_spread(order);
            spread_timer_.expires_after(kSpreadPoll);
            spread_timer_.async_wait([this](boost::system::error_code code) {
                if (!code) poll_for_spread();
            });
        });
    }

    void ship_for_spread(const ShipOrder& order) {
        fleet_.ship(order.vcpu, order.from, order.to, [order](const std::string& error) {
            if (!error.empty())
                spdlog::debug("vCPU {} is still on node {}: {}", order.vcpu.value(),
                              order.from.value(), error);
        });
    }

    void on_control(const wire::ControlRequest& request, ControlServer::Reply reply) {
        using Kind = wire::ControlRequest;
        if (request.kind_case() == Kind::kStop) {
            reply(outcome(""));
            return finish(RunStatus::stopped, "stopped by vsmpctl");
        }
        if (status_) return reply(refusal("the guest is ending"));
        if (phase_ == Phase::running) return desk_.answer(request, std::move(reply));
        if (request.kind_case() == Kind::kStatus)
            return reply(status_reply(request_.guest, GuestState::starting, {}));
        reply(refusal("the guest is still starting"));
    }

    // The first call decides; everything is then taken down.
    void finish(RunStatus status, const std::string& message) {
        if (status_) return;
        status_ = status;
        failure_ = message;
        start_deadline_.cancel();
        spread_timer_.cancel();
        signals_.cancel();
        stop_deadline_.expires_after(kStopTimeout);
        stop_deadline_.async_wait([this](boost::system::error_code code) {
            if (code) return;
            for (auto& peer : fleet_.peers()) peer->kill_now();
            end();
        });
        // From the loop, not from inside a peer's call.
        asio::post(io_, [this] {
            for (auto& peer : fleet_.peers()) peer->stop();
            end_when_all_gone();
        });
    }

    void end_when_all_gone() {
        if (!status_) return;
        for (const auto& peer : fleet_.peers())
            if (!peer->gone()) return;
        end();
    }

    // The guest's last words first, then ours.
    void end() {
        if (std::exchange(ended_, true)) return;
        stop_deadline_.expires_after(kFlushTimeout);
        stop_deadline_.async_wait([this](boost::system::error_code) { io_.stop(); });
        if (terminal_)
            terminal_->when_flushed([this] { stop_deadline_.cancel(); });
        else
            stop_deadline_.cancel();
    }

  public:
    // After run(): the terminal is itself again, children are gone, so this stands alone.
    ~Launcher() override {
        terminal_.reset();
        fleet_.peers().clear();
        remove_dead_sockets(request_.guest);
        if (failure_.empty() || !status_) return;
        if (*status_ == RunStatus::stopped || *status_ == RunStatus::reset)
            spdlog::info("{}", failure_);
        else
            spdlog::error("{}", failure_);
    }

  private:
    asio::io_context io_{1};
    RunRequest request_;
    LocalLinks links_;
    StopSignals signals_;
    asio::steady_timer start_deadline_, stop_deadline_, spread_timer_;
    SpreadPlan spread_;
    Fleet fleet_;
    ControlDesk desk_;
    std::vector<std::optional<NodeFacts>> facts_;
    std::vector<bool> links_up_;
    std::unique_ptr<ControlServer> server_;
    std::optional<Terminal> terminal_;
    Phase phase_ = Phase::facts;
    std::optional<RunStatus> status_;
    std::string failure_;
    bool ended_ = false;
};

}  // namespace

RunStatus run_guest(RunRequest request) {
    ::signal(SIGPIPE, SIG_IGN);  // a closed stdout must not end us before our children
    StopSignals signals{SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    auto links = LocalLinks::create(request.guest);
    if (!links) {
        spdlog::error("{}", links.error().message);
        return RunStatus::node_failed;
    }
    if (!links->remark().empty()) spdlog::info("{}", links->remark());
    return Launcher{std::move(request), *std::move(links), std::move(signals)}.run();
}

}  // namespace vsmp::control
