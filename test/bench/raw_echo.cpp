#include "test/bench/raw_echo.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <span>

#include "dpdk_transport/bench/network_sandbox.hpp"
#include "dpdk_transport/bench/ping_pong.hpp"
#include "dpdk_transport/ports/open_port.hpp"

namespace vsmp::bench {
namespace {

using fabric::Port;

Result<std::unique_ptr<Port>> open(PortKind kind, const std::string& folder, int self) {
    VSMP_TRY_ASSIGN(const std::shared_ptr<fabric::Eal> eal, fabric::Eal::start({}));
    return fabric::open_port(eal, port_options(kind, folder, "raw", self));
}

// Whole or not at all; false at the end of the file.
template <class T>
bool read_all(int fd, std::span<T> into) {
    auto bytes = std::as_writable_bytes(into);
    while (!bytes.empty()) {
        const ssize_t got = ::read(fd, bytes.data(), bytes.size());
        if (got <= 0) return false;
        bytes = bytes.subspan(static_cast<std::size_t>(got));
    }
    return true;
}

template <class T>
bool write_all(int fd, std::span<const T> from) {
    auto bytes = std::as_bytes(from);
    while (!bytes.empty()) {
        const ssize_t put = ::write(fd, bytes.data(), bytes.size());
        if (put <= 0) return false;
        bytes = bytes.subspan(static_cast<std::size_t>(put));
    }
    return true;
}

Result<> serve(Port& port, int orders, int answers) {
    PingOrder order;
    while (read_all(orders, std::span{&order, 1})) {
        const fabric::PingPong ping{.payload = order.payload,
                                    .rounds = order.rounds,
                                    .warm_up = 20,
                                    .interval = std::chrono::microseconds(order.interval_us),
                                    .waiting = {.spin = std::chrono::microseconds(order.spin_us)}};
        VSMP_TRY_ASSIGN(const fabric::Latencies latencies, fabric::ping_port(port, ping));
        std::vector<double> us;
        for (Duration taken : latencies.sorted())
            us.push_back(std::chrono::duration<double, std::micro>(taken).count());
        if (!write_all(answers, std::span<const double>{us})) break;
    }
    fabric::stop_echo(port);
    return {};
}

[[noreturn]] void finish(const Result<>& result) {
    if (!result) std::fprintf(stderr, "bench_fault: %s\n", result.error().message.c_str());
    ::_exit(result ? 0 : 1);
}

Result<> echo(PortKind kind, const std::string& folder, unsigned spin_us) {
    VSMP_TRY_ASSIGN(const std::unique_ptr<Port> port, open(kind, folder, 1));
    return fabric::echo_port(*port, {.spin = std::chrono::microseconds(spin_us)});
}

Result<> ping_side(PortKind kind, const std::string& folder, int orders, int answers) {
    VSMP_TRY_ASSIGN(const std::unique_ptr<Port> port, open(kind, folder, 0));
    return serve(*port, orders, answers);
}

[[noreturn]] void both_sides(PortKind kind, const std::string& folder, unsigned spin_us, int orders,
                             int answers) {
    if (kind == PortKind::veth) {
        const std::string problem = fabric::enter_network_sandbox();
        if (!problem.empty() || !fabric::add_veth("raw0", "raw1"))
            finish(Error{"no veth pair: " + problem});
    }
    const pid_t echoing = ::fork();
    if (echoing == 0) {
        ::close(orders);
        ::close(answers);
        finish(echo(kind, folder, spin_us));
    }
    const Result<> result = ping_side(kind, folder, orders, answers);
    ::waitpid(echoing, nullptr, 0);
    finish(result);
}

}  // namespace

Result<std::unique_ptr<RawEcho>> RawEcho::start(PortKind port, const std::string& folder,
                                                unsigned spin_us) {
    int orders[2], answers[2];
    if (::pipe2(orders, O_CLOEXEC) != 0) return Error::from_errno("pipe2");
    if (::pipe2(answers, O_CLOEXEC) != 0) return Error::from_errno("pipe2");
    const pid_t child = ::fork();
    if (child < 0) return Error::from_errno("fork");
    if (child == 0) {
        ::close(orders[1]);
        ::close(answers[0]);
        both_sides(port, folder, spin_us, orders[0], answers[1]);
    }
    ::close(orders[0]);
    ::close(answers[1]);
    return std::unique_ptr<RawEcho>{new RawEcho{UniqueFd{orders[1]}, UniqueFd{answers[0]}, child}};
}

RawEcho::~RawEcho() {
    orders_ = UniqueFd{};
    ::waitpid(child_, nullptr, 0);
}

Result<std::vector<double>> RawEcho::ping(const PingOrder& order) {
    std::vector<double> us(order.rounds);
    if (!write_all(orders_.get(), std::span{&order, 1}) || !read_all(answers_.get(), std::span{us}))
        return Error{"the raw ping-pong has ended"};
    return us;
}

}  // namespace vsmp::bench
