#include "vmm/control/process.hpp"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <utility>

namespace vsmp::control {
namespace {

std::vector<char*> argv_of(const std::vector<std::string>& command) {
    std::vector<char*> argv;
    for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    return argv;
}

std::string describe_status(int status) {
    if (WIFSIGNALED(status))
        return "was killed by signal " + std::to_string(WTERMSIG(status)) + " (" +
               ::strsignal(WTERMSIG(status)) + ")";
    return "exited with status " + std::to_string(WEXITSTATUS(status));
}

struct Pipe {
    UniqueFd read, write;
};
Result<Pipe> make_pipe() {
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC) != 0) return Error::from_errno("pipe2");
    return Pipe{UniqueFd{fds[0]}, UniqueFd{fds[1]}};
}

void restore_signals() {
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::signal(SIGPIPE, SIG_DFL);
}

// In the child, after fork: system calls only. Returns the errno of what failed.
int become(char* const* argv, int inherited, int net_namespace, pid_t parent) {
    restore_signals();
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);  // it ended before the line above
    ::setsid();
    if (net_namespace >= 0 && ::setns(net_namespace, CLONE_NEWNET) != 0) return errno;
    const int null = ::open("/dev/null", O_RDONLY);
    if (null < 0 || ::dup2(null, STDIN_FILENO) < 0) return errno;
    if (::dup2(STDERR_FILENO, STDOUT_FILENO) < 0) return errno;
    if (inherited == kInheritedFd) {
        if (::fcntl(inherited, F_SETFD, 0) != 0) return errno;
    } else if (::dup2(inherited, kInheritedFd) < 0) {
        return errno;
    }
    if (::syscall(SYS_close_range, kInheritedFd + 1, ~0u, CLOSE_RANGE_CLOEXEC) != 0) return errno;
    ::execv(argv[0], argv);
    return errno;
}

}  // namespace

Result<std::unique_ptr<ChildProcess>> ChildProcess::spawn(asio::io_context& io,
                                                          const std::vector<std::string>& command,
                                                          UniqueFd inherited, int net_namespace) {
    VSMP_TRY_ASSIGN(Pipe failure, make_pipe());
    // The report must survive the dup2 to kInheritedFd.
    const int report = ::fcntl(failure.write.get(), F_DUPFD_CLOEXEC, kInheritedFd + 1);
    if (report < 0) return Error::from_errno("dup");
    failure.write = UniqueFd{report};
    const std::vector<char*> argv = argv_of(command);
    const pid_t parent = ::getpid();
    const pid_t pid = ::fork();
    if (pid < 0) return Error::from_errno("fork");
    if (pid == 0) {
        const int code = become(argv.data(), inherited.get(), net_namespace, parent);
        [[maybe_unused]] auto written = ::write(report, &code, sizeof code);
        ::_exit(127);
    }
    failure.write = UniqueFd{};
    int code = 0;
    const bool failed = ::read(failure.read.get(), &code, sizeof code) == sizeof code;
    const int pidfd = failed ? -1 : static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
    if (pidfd < 0) {
        const Error error = failed ? Error::from_errno("cannot run " + command[0], code)
                                   : Error::from_errno("pidfd_open");
        ::kill(pid, SIGKILL);
        ::waitpid(pid, nullptr, 0);
        return error;
    }
    return std::unique_ptr<ChildProcess>{new ChildProcess{io, pid, pidfd}};
}

ChildProcess::~ChildProcess() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
}

void ChildProcess::kill_now() {
    if (pid_ > 0) ::kill(pid_, SIGKILL);
}

void ChildProcess::when_ended(std::function<void(std::string)> handler) {
    exit_.async_wait(asio::posix::stream_descriptor::wait_read,
                     [this, handler = std::move(handler)](boost::system::error_code code) {
                         if (code) return;  // this object is being destroyed
                         int status = 0;
                         if (::waitpid(pid_, &status, WNOHANG) != pid_) return;
                         pid_ = -1;
                         handler(describe_status(status));
                     });
}

Result<void> run_command(const std::vector<std::string>& command, const std::string& input) {
    VSMP_TRY_ASSIGN(Pipe in, make_pipe());
    VSMP_TRY_ASSIGN(Pipe err, make_pipe());
    // The input fits the pipe, so that writing it cannot wait for the command.
    if (::write(in.write.get(), input.data(), input.size()) != static_cast<ssize_t>(input.size()))
        return Error::from_errno("write");
    in.write = UniqueFd{};
    const std::vector<char*> argv = argv_of(command);
    const pid_t pid = ::fork();
    if (pid < 0) return Error::from_errno("fork");
    if (pid == 0) {
        restore_signals();
        ::dup2(in.read.get(), STDIN_FILENO);
        ::dup2(err.write.get(), STDOUT_FILENO);
        ::dup2(err.write.get(), STDERR_FILENO);
        ::execvp(argv[0], argv.data());
        const char* why = ::strerrordesc_np(errno);
        [[maybe_unused]] auto written = ::write(STDERR_FILENO, why, std::strlen(why));
        ::_exit(127);
    }
    err.write = UniqueFd{};
    std::string said;
    std::array<char, 512> buffer;
    for (ssize_t got; (got = ::read(err.read.get(), buffer.data(), buffer.size())) > 0;)
        if (said.size() < 4096) said.append(buffer.data(), static_cast<std::size_t>(got));
    int status = 0;
    ::waitpid(pid, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
    const std::string first = said.substr(0, said.find('\n'));
    return Error{command[0] + ": " + (first.empty() ? describe_status(status) : first)};
}

}  // namespace vsmp::control
