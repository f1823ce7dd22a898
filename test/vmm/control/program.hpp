// Runs a program of ours with pipes (or a pseudo terminal) for its standard streams.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <vector>

#include "proto/fd.hpp"

namespace vsmp::control {

enum class Streams { pipes, terminal };

class Program {
  public:
    explicit Program(std::vector<std::string> command, Streams streams = Streams::pipes,
                     std::chrono::seconds patience = std::chrono::seconds(60))
        : deadline_(std::chrono::steady_clock::now() + patience) {
        int in[2] = {-1, -1}, out[2] = {-1, -1}, err[2];
        if (streams == Streams::pipes) {
            EXPECT_EQ(::pipe2(in, O_CLOEXEC), 0);
            EXPECT_EQ(::pipe2(out, O_CLOEXEC), 0);
        } else {
            EXPECT_EQ(::openpty(&in[1], &in[0], nullptr, nullptr, nullptr), 0);
            out[0] = ::dup(in[1]);
            out[1] = ::dup(in[0]);
            slave_ = UniqueFd{::dup(in[0])};
            for (int fd : {in[0], in[1], out[0], out[1], slave_.get()})
                ::fcntl(fd, F_SETFD, FD_CLOEXEC);
            EXPECT_EQ(::tcgetattr(slave_.get(), &before_), 0);
        }
        EXPECT_EQ(::pipe2(err, O_CLOEXEC), 0);
        std::vector<char*> argv;
        for (auto& word : command) argv.push_back(word.data());
        argv.push_back(nullptr);
        pid_ = ::fork();
        if (pid_ == 0) {
            ::dup2(in[0], 0);
            ::dup2(out[1], 1);
            ::dup2(err[1], 2);
            ::execv(argv[0], argv.data());
            ::_exit(127);
        }
        ::close(in[0]);
        ::close(out[1]);
        ::close(err[1]);
        in_ = UniqueFd{in[1]};
        out_ = UniqueFd{out[0]};
        err_ = UniqueFd{err[0]};
    }
    ~Program() {
        if (pid_ <= 0) return;
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }

    void type(const std::string& text) {
        EXPECT_EQ(::write(in_.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
    }
    void signal(int number) { ::kill(pid_, number); }
    pid_t pid() const { return pid_; }

    // Reads until `text` is on stdout or stderr. False: the program ended, or its time is over.
    bool wait_for(const std::string& text) {
        while (output.find(text) == output.npos && errors.find(text) == errors.npos)
            if (!read_some()) return false;
        return true;
    }
    // Exit status, once it has ended; -SIGNAL when it was killed, also by us because its time was
    // over.
    int wait() {
        while (read_some()) {
        }
        if (err_) ::kill(pid_, SIGKILL);
        int status = 0;
        ::waitpid(pid_, &status, 0);
        pid_ = -1;
        return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    }
    bool terminal_is_restored() const {
        termios now{};
        EXPECT_EQ(::tcgetattr(slave_.get(), &now), 0);
        return now.c_lflag == before_.c_lflag && now.c_iflag == before_.c_iflag;
    }
    int error_lines() const {
        int count = 0;
        for (std::size_t at = 0; (at = errors.find(": error: ", at)) != errors.npos; ++at) ++count;
        return count;
    }

    std::string output, errors;

  private:
    // stderr's end is the end: nobody of the program's family is left to write to it.
    bool read_some() {
        using namespace std::chrono;
        if (!err_) return false;
        const auto left = duration_cast<milliseconds>(deadline_ - steady_clock::now()).count();
        pollfd fds[] = {{out_.get(), POLLIN, 0}, {err_.get(), POLLIN, 0}};
        if (left <= 0 || ::poll(fds, 2, static_cast<int>(left)) <= 0) return false;
        char buffer[4096];
        if (fds[0].revents != 0) {
            const ssize_t got = ::read(out_.get(), buffer, sizeof buffer);
            if (got > 0) output.append(buffer, static_cast<std::size_t>(got));
            if (got <= 0) out_ = UniqueFd{};
        }
        if (fds[1].revents != 0) {
            const ssize_t got = ::read(err_.get(), buffer, sizeof buffer);
            if (got <= 0) {
                err_ = UniqueFd{};
                drain_output();
                return false;
            }
            errors.append(buffer, static_cast<std::size_t>(got));
        }
        return true;
    }

    // What was written before the end.
    void drain_output() {
        char buffer[4096];
        pollfd fds[] = {{out_.get(), POLLIN, 0}};
        while (::poll(fds, 1, 0) > 0 && (fds[0].revents & POLLIN) != 0) {
            const ssize_t got = ::read(out_.get(), buffer, sizeof buffer);
            if (got <= 0) return;
            output.append(buffer, static_cast<std::size_t>(got));
        }
    }

    pid_t pid_ = -1;
    UniqueFd in_, out_, err_, slave_;
    termios before_{};
    std::chrono::steady_clock::time_point deadline_;
};

}  // namespace vsmp::control
