// virtio_user (server) and vhost (client): two processes of one host over a unix socket.
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <filesystem>
#include <future>
#include <random>
#include <thread>

#include "dpdk_transport/ports/dpdk_port.hpp"
#include "dpdk_transport/ports/openers.hpp"
#include "dpdk_transport/ports/vhost_hang_up.hpp"
#include "proto/socket_file.hpp"

namespace vsmp::fabric {
namespace {

constexpr std::size_t kRoom = 9216;  // a frame in one buffer

std::string random_mac() {
    std::random_device device;
    std::uniform_int_distribution<unsigned> octet{0, 255};
    char text[18];
    std::snprintf(text, sizeof text, "02:%02x:%02x:%02x:%02x:%02x", octet(device), octet(device),
                  octet(device), octet(device), octet(device));
    return text;
}

Result<> check_path(const std::string& socket) {
    if (socket.empty() || socket.size() >= sizeof(sockaddr_un::sun_path))
        return Error{"socket path \"" + socket + "\" is empty or too long"};
    if (socket.find(',') != std::string::npos) return Error{"socket path with a comma: " + socket};
    const auto folder = std::filesystem::absolute(socket).parent_path();
    if (!std::filesystem::is_directory(folder))
        return Error{"folder " + folder.string() + " of the socket does not exist", ENOENT};
    return {};
}

// Connects and hangs up at once: gets a server out of accept().
void poke(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    const UniqueFd fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    // When nobody listens any more there is nobody to get out.
    (void)::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

// The driver blocks in accept() until the client is there.
Result<std::unique_ptr<DpdkDevice>> add_server(const std::shared_ptr<Eal>& eal,
                                               const VhostUserOptions& options) {
    VSMP_TRY(clear_socket_file(options.socket));
    const std::string arguments = "path=" + options.socket + ",server=1,queues=1,queue_size=512" +
                                  ",mrg_rxbuf=1,in_order=0,mac=" + random_mac();
    Result<std::unique_ptr<DpdkDevice>> device{Error{}};
    std::promise<void> done;
    auto ready = done.get_future();
    std::thread adder{[&] {
        device = DpdkDevice::add(eal, "vdev", unique_device_name("net_virtio_user"), arguments);
        done.set_value();
    }};
    const bool in_time = ready.wait_for(options.connect_timeout) == std::future_status::ready;
    if (!in_time)
        while (ready.wait_for(std::chrono::milliseconds(100)) != std::future_status::ready)
            poke(options.socket);
    adder.join();
    if (in_time) return device;
    return Error{"nobody connected to " + options.socket + " in time", ETIMEDOUT};
}

}  // namespace

Result<std::unique_ptr<Port>> open_vhost_user(const std::shared_ptr<Eal>& eal,
                                              const VhostUserOptions& options) {
    VSMP_TRY(check_path(options.socket));
    const bool server = options.role == VhostRole::server;
    const std::string which = (server ? "server of " : "client of ") + options.socket;
    VSMP_TRY_ASSIGN(UniqueFd lock, lock_port((server ? "server of " : "client of ") +
                                             std::filesystem::absolute(options.socket).string()));
    auto device = server ? add_server(eal, options)
                         : DpdkDevice::add(eal, "vdev", unique_device_name("net_vhost"),
                                           "iface=" + options.socket + ",queues=1,client=1");
    if (!device) return device.error();
    if (server) (*device)->before_close([socket = options.socket] { hang_up(socket); });
    VSMP_TRY((*device)->start(
        {.buffers = 1536, .room = kRoom, .descriptors = 512, .rx_interrupt = true}));
    VSMP_TRY_ASSIGN(
        std::unique_ptr<Sleeper> sleeper,
        server ? sleep_on_interrupt((*device)->port()) : sleep_on_vhost_client((*device)->port()));
    return std::unique_ptr<Port>{std::make_unique<DpdkPort>(
        *std::move(device), std::move(sleeper), kGoodMtu, "vhost-user " + which, std::move(lock))};
}

}  // namespace vsmp::fabric
