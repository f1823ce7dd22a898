#include "vmm/control/control_server.hpp"

#include <sys/stat.h>
#include <unistd.h>

namespace vsmp::control {
namespace {
constexpr std::size_t kMaxSessions = 16;
}

struct ControlServer::Session : std::enable_shared_from_this<ControlServer::Session> {
    explicit Session(ControlServer& s) : server(s) {}
    ~Session() { stream->close(); }

    Result<void> on_message(std::string_view bytes) {
        wire::ControlRequest request;
        if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
            return Error{"malformed request"};
        if (!greeted) {
            greeted = true;
            wire::ControlReply hello;
            hello.mutable_hello()->set_protocol_version(kProtocolVersion);
            hello.mutable_hello()->set_build(kBuild);
            return stream->send(hello);
        }
        // Whoever replies may do so when this session is long gone.
        server.handler_(request, [weak = weak_from_this()](const wire::ControlReply& reply) {
            auto self = weak.lock();
            if (!self) return;
            Session* session = self.get();
            auto sent =
                session->stream->send(reply, [session] { session->server.forget(session); });
            if (!sent) session->server.forget(session);
        });
        return {};
    }

    ControlServer& server;
    std::shared_ptr<MessageStream> stream;
    bool greeted = false;
};

Result<std::unique_ptr<ControlServer>> ControlServer::listen(asio::io_context& io,
                                                             const std::string& guest,
                                                             Handler handler) {
    VSMP_TRY_ASSIGN(GuestClaim claim, GuestClaim::take(guest));
    std::unique_ptr<ControlServer> server{
        new ControlServer{io, control_socket_path(guest), std::move(claim), std::move(handler)}};
    const std::string& path = server->path_;
    if (path.size() >= sizeof(sockaddr_un::sun_path)) return Error{path + ": too long a path"};
    boost::system::error_code code;
    // Whose claim we have left it behind.
    struct stat there {};
    if (::lstat(path.c_str(), &there) == 0 && S_ISSOCK(there.st_mode)) ::unlink(path.c_str());
    server->acceptor_.open(Local{}, code);
    if (!code) server->acceptor_.bind(Local::endpoint{path}, code);
    if (!code) server->listening_ = true;
    if (!code) server->acceptor_.listen(static_cast<int>(kMaxSessions), code);
    if (code) return Error{path + ": " + code.message(), code.value()};
    server->accept();
    return server;
}

ControlServer::ControlServer(asio::io_context& io, std::string path, GuestClaim claim,
                             Handler handler)
    : claim_(std::move(claim)),
      acceptor_(io),
      path_(std::move(path)),
      handler_(std::move(handler)) {}

ControlServer::~ControlServer() {
    if (listening_) ::unlink(path_.c_str());
}

void ControlServer::accept() {
    acceptor_.async_accept([this](boost::system::error_code code, Local::socket socket) {
        if (code == asio::error::operation_aborted) return;
        if (!code && sessions_.size() < kMaxSessions) serve(std::move(socket));
        accept();
    });
}

void ControlServer::serve(Local::socket socket) {
    auto session = std::make_shared<Session>(*this);
    session->stream = MessageStream::open(
        StreamSocket{std::move(socket)},
        {.on_message = [raw = session.get()](std::string_view b) { return raw->on_message(b); },
         .on_closed = [raw = session.get()](const Error&) { raw->server.forget(raw); }});
    sessions_.push_back(std::move(session));
}

void ControlServer::forget(const Session* session) {
    std::erase_if(sessions_, [&](const auto& each) { return each.get() == session; });
}

}  // namespace vsmp::control
