#include "vmm/control/terminal.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <boost/asio/write.hpp>
#include <optional>
#include <utility>

#include "proto/fd.hpp"

namespace vsmp::control {
namespace {

constexpr char kLeave = 0x1d;  // Ctrl-]
constexpr std::size_t kMaxBacklog = 1u << 20;

// For the fault handler only, which can be handed nothing.
struct SavedTerminal {
    int fd = -1;
    termios settings{};
};
SavedTerminal saved_for_faults;
constexpr std::array kFaults{SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};

void restore_and_die(int signal) {
    if (saved_for_faults.fd >= 0)
        ::tcsetattr(saved_for_faults.fd, TCSANOW, &saved_for_faults.settings);
    ::signal(signal, SIG_DFL);
    ::raise(signal);
}

class RawMode {
  public:
    explicit RawMode(int fd) : fd_(fd) {
        if (::isatty(fd) != 1 || ::tcgetattr(fd, &before_) != 0) return;
        termios raw = before_;
        ::cfmakeraw(&raw);
        raw.c_oflag |= OPOST;  // our own messages end in a plain newline
        saved_for_faults = {fd, before_};
        for (int fault : kFaults) ::signal(fault, restore_and_die);
        active_ = ::tcsetattr(fd, TCSANOW, &raw) == 0;
    }
    ~RawMode() { restore(); }
    void restore() {
        if (!std::exchange(active_, false)) return;
        ::tcsetattr(fd_, TCSADRAIN, &before_);
        saved_for_faults.fd = -1;
        for (int fault : kFaults) ::signal(fault, SIG_DFL);
    }
    RawMode(const RawMode&) = delete;
    bool active() const { return active_; }

  private:
    int fd_;
    termios before_{};
    bool active_ = false;
};

// A descriptor for Asio, which makes what it uses non-blocking. That flag belongs to the open file,
// which we share with our parent shell and with stderr: so open it anew where that is possible.
class OwnDescription {
  public:
    OwnDescription(int fd, int mode) : shared_fd_(fd), flags_(::fcntl(fd, F_GETFL)) {
        struct stat info {};
        if (::fstat(fd, &info) == 0 && (S_ISCHR(info.st_mode) || S_ISFIFO(info.st_mode)))
            own_ = UniqueFd{::open(("/proc/self/fd/" + std::to_string(fd)).c_str(),
                                   mode | O_NOCTTY | O_CLOEXEC | O_NONBLOCK)};
        reopened_ = static_cast<bool>(own_);
        if (!own_) own_ = UniqueFd{::fcntl(fd, F_DUPFD_CLOEXEC, 0)};
    }
    ~OwnDescription() {
        if (!reopened_ && flags_ >= 0) ::fcntl(shared_fd_, F_SETFL, flags_);
    }
    OwnDescription(const OwnDescription&) = delete;
    int release() { return own_.release(); }

  private:
    int shared_fd_;
    int flags_;
    UniqueFd own_;
    bool reopened_ = false;
};

}  // namespace

class Terminal::Impl : public std::enable_shared_from_this<Terminal::Impl> {
  public:
    Impl(asio::io_context& io, int input_fd, int output_fd, TerminalHandlers handlers)
        : raw_(input_fd),
          input_file_(input_fd, O_RDONLY),
          output_file_(output_fd, O_WRONLY),
          input_(io),
          output_(io),
          handlers_(std::move(handlers)) {
        assign(input_, input_file_.release());
        assign(output_, output_file_.release());
    }

    void read() {
        if (!input_.is_open() || closed_) return;
        input_.async_read_some(
            asio::buffer(buffer_),
            [self = shared_from_this()](boost::system::error_code code, std::size_t size) {
                if (!code && !self->closed_)
                    self->on_read(size);  // else: end of input, guest goes on
            });
    }

    void write(std::string bytes) {
        if (!output_.is_open() || closed_) return;
        if (pending_.size() + bytes.size() > kMaxBacklog) return;
        pending_ += bytes;
        if (!writing_) write_next();
    }

    bool flushed() const { return !writing_ || !output_.is_open(); }
    void when_flushed(std::function<void()> handler) {
        if (flushed()) return handler();
        on_flushed_ = std::move(handler);
    }
    bool raw() const { return raw_.active(); }

    void close() {
        closed_ = true;
        boost::system::error_code ignored;
        input_.close(ignored);
        output_.close(ignored);
        raw_.restore();  // now: pending handlers may keep this object a little longer
    }

  private:
    static void assign(asio::posix::stream_descriptor& descriptor, int fd) {
        boost::system::error_code code;
        descriptor.assign(fd, code);
        if (code) ::close(fd);
    }

    void on_read(std::size_t size) {
        std::string bytes{buffer_.data(), size};
        if (raw_.active()) {
            if (const std::size_t leave = bytes.find(kLeave); leave != bytes.npos)
                return handlers_.on_leave();
        }
        handlers_.on_input(std::move(bytes), [weak = weak_from_this()] {
            if (auto self = weak.lock()) self->read();
        });
    }

    void write_next() {
        writing_ = true;
        current_ = std::exchange(pending_, {});
        asio::async_write(output_, asio::buffer(current_),
                          [self = shared_from_this()](boost::system::error_code code, std::size_t) {
                              self->on_written(code);
                          });
    }

    void on_written(boost::system::error_code code) {
        if (closed_) return;
        writing_ = false;
        if (code) {
            boost::system::error_code ignored;
            output_.close(ignored);
        } else if (!pending_.empty()) {
            return write_next();
        }
        if (on_flushed_) std::exchange(on_flushed_, nullptr)();
    }

    RawMode raw_;
    OwnDescription input_file_, output_file_;
    asio::posix::stream_descriptor input_, output_;
    TerminalHandlers handlers_;
    std::array<char, 4096> buffer_{};
    std::string pending_, current_;
    std::function<void()> on_flushed_;
    bool writing_ = false;
    bool closed_ = false;
};

Terminal::Terminal(asio::io_context& io, int input_fd, int output_fd, TerminalHandlers handlers)
    : impl_(std::make_shared<Impl>(io, input_fd, output_fd, std::move(handlers))) {
    impl_->read();
}
Terminal::~Terminal() {
    impl_->close();
}
void Terminal::write(std::string bytes) {
    impl_->write(std::move(bytes));
}
bool Terminal::flushed() const {
    return impl_->flushed();
}
void Terminal::when_flushed(std::function<void()> handler) {
    impl_->when_flushed(std::move(handler));
}
bool Terminal::is_terminal() const {
    return impl_->raw();
}

}  // namespace vsmp::control
