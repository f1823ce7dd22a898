// What stops vsmp-run before it has an event loop that hears of signals.
#pragma once

namespace vsmp::control {

// From now on SIGINT, SIGTERM, SIGHUP and SIGQUIT end the program at once, with RunStatus::stopped
// and a line that says so. For the time in which nothing exists that would have to be taken down.
void end_at_once_on_signals();

// These signals wait. On the main thread, while there is no other.
class StopLater {
  public:
    StopLater();
    ~StopLater();  // those that came meanwhile are heard now
    StopLater(const StopLater&) = delete;
};

}  // namespace vsmp::control
