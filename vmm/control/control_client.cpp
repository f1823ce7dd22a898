#include "vmm/control/control_client.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <optional>

#include "vmm/control/runtime_directory.hpp"
#include "vmm/control/stream.hpp"

namespace vsmp::control {
namespace {
constexpr auto kPatience = std::chrono::seconds(10);
}

Result<std::string> choose_guest(const std::string& wanted) {
    if (wanted.find('/') != wanted.npos) return Error{"'" + wanted + "' is not a guest's name"};
    if (!wanted.empty()) return wanted;
    const std::vector<std::string> names = running_guests();
    if (names.size() == 1) return names.front();
    if (names.empty()) return Error{"no guest is running (" + runtime_directory_path() + ")"};
    return Error{fmt::format("several guests are running: choose one with --guest: {}",
                             fmt::join(names, ", "))};
}

Result<wire::ControlReply> ask_guest(const std::string& guest,
                                     const wire::ControlRequest& request) {
    using Local = asio::local::stream_protocol;
    const std::string path = control_socket_path(guest);
    if (path.size() >= sizeof(sockaddr_un::sun_path)) return Error{path + ": too long a path"};
    asio::io_context io{1};
    Local::socket socket{io, Local{}};
    // Not Asio's: a full backlog is to be an error, not a wait (unix(7), EAGAIN).
    socket.native_non_blocking(true);
    const Local::endpoint endpoint{path};
    if (::connect(socket.native_handle(), endpoint.data(),
                  static_cast<socklen_t>(endpoint.size())) != 0) {
        if (errno == EAGAIN) return Error{"guest '" + guest + "' does not answer"};
        return Error::from_errno(fmt::format("guest '{}' is not running ({})", guest, path));
    }
    std::optional<Result<wire::ControlReply>> answer;
    const auto on_message = [&](std::string_view bytes) -> Result<void> {
        wire::ControlReply reply;
        if (!reply.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
            return Error{"malformed answer"};
        if (reply.has_hello()) {
            if (reply.hello().protocol_version() == kProtocolVersion) return {};
            return Error{
                fmt::format("guest '{}' speaks control protocol {}, this vsmpctl speaks {}", guest,
                            reply.hello().protocol_version(), kProtocolVersion)};
        }
        if (reply.kind_case() == wire::ControlReply::kError)
            answer = Error{reply.error()};
        else
            answer = std::move(reply);
        io.stop();
        return {};
    };
    auto stream = MessageStream::open(StreamSocket{std::move(socket)},
                                      {.on_message = on_message, .on_closed = [&](Error error) {
                                           answer = std::move(error);
                                           io.stop();
                                       }});
    wire::ControlRequest hello;
    hello.mutable_hello()->set_protocol_version(kProtocolVersion);
    hello.mutable_hello()->set_build(kBuild);
    VSMP_TRY(stream->send(hello));
    VSMP_TRY(stream->send(request));
    io.run_for(kPatience);
    stream->close();
    if (!answer) return Error{"guest '" + guest + "' does not answer"};
    return *std::move(answer);
}

}  // namespace vsmp::control
