#include "proto/socket_file.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "proto/fd.hpp"

namespace vsmp {

SocketFile look_at_socket_file(const std::string& path) {
    struct stat there {};
    if (::lstat(path.c_str(), &there) != 0)
        return errno == ENOENT ? SocketFile::absent : SocketFile::other;
    sockaddr_un address{};
    if (!S_ISSOCK(there.st_mode) || path.size() >= sizeof address.sun_path)
        return SocketFile::other;
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    // Of another type than a stream server's: it is found, but no connection comes of it.
    const UniqueFd asking{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    if (!asking) return SocketFile::other;
    if (::connect(asking.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ||
        errno == EPROTOTYPE)
        return SocketFile::served;
    return errno == ECONNREFUSED ? SocketFile::dead : SocketFile::other;
}

Result<void> clear_socket_file(const std::string& path) {
    switch (look_at_socket_file(path)) {
        case SocketFile::absent:
            return {};
        case SocketFile::dead:
            if (::unlink(path.c_str()) == 0 || errno == ENOENT) return {};
            return Error::from_errno("removing " + path);
        case SocketFile::served:
            return Error{path + " is the socket of another program"};
        case SocketFile::other:
            break;
    }
    return Error{path + " exists and is not a socket of ours"};
}

}  // namespace vsmp
