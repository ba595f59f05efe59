#include "core/child_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <utility>

#include "core/check.h"

namespace minke {

namespace {

using Clock = std::chrono::steady_clock;

class Descriptor {
 public:
  explicit Descriptor(int number = -1) : number_(number) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { close(); }
  int number() const { return number_; }
  bool is_open() const { return number_ >= 0; }
  void set(int number) { number_ = number; }
  void close() {
    if (number_ >= 0) ::close(std::exchange(number_, -1));
  }

 private:
  int number_;
};

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> list;
  for (std::string& text : texts) list.push_back(text.data());
  list.push_back(nullptr);
  return list;
}

class Child {
 public:
  explicit Child(const ChildRequest& request) : request_(request) {}
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() { kill_group(); }

  Status start() {
    // Sockets, because what is sent to a program that has gone must not end ours by a signal.
    std::array<std::array<int, 2>, 3> pairs = {};
    std::array<Descriptor, 3> theirs;
    std::array<Descriptor*, 3> ours = {&input_, &output_, &errors_};
    for (size_t i = 0; i < pairs.size(); ++i) {
      if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pairs[i].data()) != 0) {
        return fail(fmt::format("no pipe to {}: {}", request_.command[0], std::strerror(errno)));
      }
      ours[i]->set(pairs[i][0]);
      theirs[i].set(pairs[i][1]);
      fcntl(ours[i]->number(), F_SETFL, O_NONBLOCK);
    }
    MINKE_TRY(spawn(theirs));
    return confine();
  }

  // Sends and receives until both outputs are closed and all has ended, or time is up.
  ChildOutcome finish() {
    const auto deadline = Clock::now() + std::chrono::milliseconds(request_.time_ms_max);
    ChildOutcome outcome;
    std::string_view left = request_.input;
    while (output_.is_open() || errors_.is_open()) {
      if (left.empty()) input_.close();
      const auto wait_ms =
          std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
      if (wait_ms <= 0) {
        outcome.timed_out = true;
        break;
      }
      std::array<pollfd, 3> waiting = {{{input_.number(), POLLOUT, 0},
                                        {output_.number(), POLLIN, 0},
                                        {errors_.number(), POLLIN, 0}}};
      if (poll(waiting.data(), waiting.size(), static_cast<int>(std::min<int64_t>(wait_ms, 1000))) <
          0) {
        CHECK_EQ(errno, EINTR);
        continue;
      }
      if (waiting[0].revents != 0) send_some(&left);
      if (waiting[1].revents != 0) outcome.is_full |= receive_some(output_, &outcome.output);
      if (waiting[2].revents != 0) outcome.is_full |= receive_some(errors_, &outcome.errors);
      if (outcome.is_full && request_.ends_when_full) break;
    }
    const bool leaves = !outcome.timed_out && !(outcome.is_full && request_.ends_when_full);
    if (leaves) outcome.timed_out = !leaves_before(deadline);
    kill_group();
    const int status = wait();
    outcome.exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    outcome.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    return outcome;
  }

 private:
  Status spawn(const std::array<Descriptor, 3>& theirs) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    for (int i = 0; i < 3; ++i) {
      posix_spawn_file_actions_adddup2(&actions, theirs[static_cast<size_t>(i)].number(), i);
    }
    const bool has_descriptor = request_.descriptor >= 0;
    if (has_descriptor) posix_spawn_file_actions_adddup2(&actions, request_.descriptor, 3);
    posix_spawn_file_actions_addclosefrom_np(&actions, has_descriptor ? 4 : 3);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(
        &attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    std::vector<std::string> command = request_.command, environment = request_.environment;
    const int error = posix_spawnp(&process_, command[0].c_str(), &actions, &attributes,
                                   pointers(command).data(), pointers(environment).data());
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (error == 0) return {};
    process_ = -1;
    return fail(fmt::format("{} cannot be started: {}", command[0], std::strerror(error)));
  }

  Status confine() const {
    const ChildBounds& bounds = request_.bounds;
    const auto hold = [this](__rlimit_resource resource, rlim_t most) -> Status {
      const rlimit limit{.rlim_cur = most, .rlim_max = most};
      if (prlimit(process_, resource, &limit, nullptr) == 0) return {};
      return fail(
          fmt::format("{} cannot be confined: {}", request_.command[0], std::strerror(errno)));
    };
    if (bounds.memory_bytes_max > 0) MINKE_TRY(hold(RLIMIT_AS, bounds.memory_bytes_max));
    if (bounds.cpu_seconds_max > 0) MINKE_TRY(hold(RLIMIT_CPU, bounds.cpu_seconds_max));
    if (bounds.may_write_files) return {};
    MINKE_TRY(hold(RLIMIT_FSIZE, 0));
    return hold(RLIMIT_CORE, 0);
  }

  void send_some(std::string_view* left) {
    const ssize_t sent = send(input_.number(), left->data(), left->size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      left->remove_prefix(static_cast<size_t>(sent));
    } else if (errno != EAGAIN && errno != EINTR) {
      *left = {};  // it does not want to know
    }
  }

  // Whether some of it had no room.
  bool receive_some(Descriptor& from, std::string* into) const {
    std::array<char, 16384> buffer;
    const ssize_t got = recv(from.number(), buffer.data(), buffer.size(), 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (got <= 0) {
      from.close();
      return false;
    }
    const size_t room =
        request_.output_bytes_max - std::min(into->size(), request_.output_bytes_max);
    into->append(buffer.data(), std::min(static_cast<size_t>(got), room));
    return static_cast<size_t>(got) > room;
  }

  // A program may close its outputs and stay.
  bool leaves_before(Clock::time_point deadline) const {
    timespec pause = {.tv_sec = 0, .tv_nsec = 1'000'000};
    do {
      siginfo_t info = {};
      const int error =
          waitid(P_PID, static_cast<id_t>(process_), &info, WEXITED | WNOHANG | WNOWAIT);
      if (error == 0 && info.si_pid == process_) return true;
      nanosleep(&pause, nullptr);
    } while (Clock::now() < deadline);
    return false;
  }

  void kill_group() const {
    if (process_ > 0) kill(-process_, SIGKILL);
  }
  int wait() {
    int status = 0;
    while (waitpid(process_, &status, 0) < 0) CHECK_EQ(errno, EINTR);
    process_ = -1;
    return status;
  }

  const ChildRequest& request_;
  pid_t process_ = -1;
  Descriptor input_, output_, errors_;
};

}  // namespace

Result<ChildOutcome> run_child(const ChildRequest& request) {
  CHECK(!request.command.empty());
  Child child(request);
  MINKE_TRY(child.start());
  return child.finish();
}

}  // namespace minke
