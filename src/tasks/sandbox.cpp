#include "tasks/sandbox.h"

#include <fmt/format.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "core/child_process.h"
#include "core/random.h"

namespace minke {

namespace {

// The system calls of a machine that the sandbox refuses, by number: a filter is the same program
// wherever it is built.
struct Refused {
  uint32_t machine;
  uint32_t clone;   // but for threads
  uint32_t clone3;  // whose flags a filter cannot see; the C library then takes clone
  std::vector<uint32_t> others;
};

const std::array<Refused, 2>& refused_calls() {
  static const std::array<Refused, 2> refused = {{
      // fork vfork ptrace unshare mount umount2 pivot_root chroot setns keyctl add_key request_key
      // bpf perf_event_open userfaultfd io_uring_setup process_vm_readv process_vm_writev
      // init_module kexec_load, and where the numbers of the x32 interface begin
      {AUDIT_ARCH_X86_64, 56, 435, {57,  58,  101, 272, 165, 166, 155, 161, 308, 250,
                                    248, 249, 321, 298, 323, 425, 310, 311, 175, 246}},
      {AUDIT_ARCH_AARCH64,
       220,
       435,
       {117, 97, 40, 39, 41, 51, 268, 219, 217, 218, 280, 241, 282, 425, 270, 271, 105, 104}},
  }};
  return refused;
}

constexpr uint32_t kX32Begin = 0x40000000;

sock_filter load(size_t offset) {
  return {.code = BPF_LD | BPF_W | BPF_ABS, .jt = 0, .jf = 0, .k = static_cast<uint32_t>(offset)};
}
sock_filter answer(uint32_t action) {
  return {.code = BPF_RET | BPF_K, .jt = 0, .jf = 0, .k = action};
}
// Skips the next `otherwise` instructions unless the loaded word is `value`.
sock_filter unless_equal(uint32_t value, uint8_t otherwise) {
  return {.code = BPF_JMP | BPF_JEQ | BPF_K, .jt = 0, .jf = otherwise, .k = value};
}

constexpr uint32_t kDeny = SECCOMP_RET_ERRNO | EPERM;

std::vector<sock_filter> call_filter() {
  std::vector<sock_filter> program;
  for (const Refused& refused : refused_calls()) {
    std::vector<sock_filter> part = {load(offsetof(seccomp_data, nr))};
    part.push_back({.code = BPF_JMP | BPF_JGE | BPF_K, .jt = 0, .jf = 1, .k = kX32Begin});
    part.push_back(answer(SECCOMP_RET_KILL_PROCESS));
    for (const uint32_t call : refused.others) {
      part.push_back(unless_equal(call, 1));
      part.push_back(answer(kDeny));
    }
    part.push_back(unless_equal(refused.clone3, 1));
    part.push_back(answer(SECCOMP_RET_ERRNO | ENOSYS));
    part.push_back(unless_equal(refused.clone, 4));
    part.push_back(load(offsetof(seccomp_data, args)));
    part.push_back({.code = BPF_JMP | BPF_JSET | BPF_K, .jt = 0, .jf = 1, .k = CLONE_THREAD});
    part.push_back(answer(SECCOMP_RET_ALLOW));
    part.push_back(answer(kDeny));
    part.push_back(answer(SECCOMP_RET_ALLOW));
    program.push_back(load(offsetof(seccomp_data, arch)));
    program.push_back(unless_equal(refused.machine, static_cast<uint8_t>(part.size())));
    program.insert(program.end(), part.begin(), part.end());
  }
  program.push_back(answer(SECCOMP_RET_KILL_PROCESS));  // another machine
  return program;
}

// An open file with the filter, at its beginning. -1 on a fault of the system.
class FilterFile {
 public:
  FilterFile() : descriptor_(memfd_create("filter", MFD_CLOEXEC)) {
    const std::vector<sock_filter> filter = call_filter();
    const auto bytes = std::as_bytes(std::span(filter));
    const bool is_written =
        descriptor_ >= 0 &&
        write(descriptor_, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()) &&
        lseek(descriptor_, 0, SEEK_SET) == 0;
    if (!is_written && descriptor_ >= 0) close(std::exchange(descriptor_, -1));
  }
  FilterFile(const FilterFile&) = delete;
  FilterFile& operator=(const FilterFile&) = delete;
  ~FilterFile() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  int descriptor() const { return descriptor_; }

 private:
  int descriptor_;
};

std::vector<std::string> sandbox_command(const SandboxLimits& limits) {
  const int64_t cpu_seconds = (limits.time_ms + 999) / 1000 + 1;
  return {"prlimit",
          fmt::format("--as={}", limits.memory_bytes),
          fmt::format("--cpu={}", cpu_seconds),
          fmt::format("--fsize={}", limits.files_bytes),
          "--nofile=64",
          "--core=0",
          "--",
          "bwrap",
          "--unshare-user",
          "--unshare-all",
          "--uid",
          "65534",
          "--gid",
          "65534",
          "--die-with-parent",
          "--new-session",
          "--cap-drop",
          "ALL",
          "--ro-bind",
          "/usr",
          "/usr",
          "--symlink",
          "usr/bin",
          "/bin",
          "--symlink",
          "usr/lib",
          "/lib",
          "--symlink",
          "usr/lib64",
          "/lib64",
          "--dev",
          "/dev",
          "--remount-ro",
          "/dev",
          "--size",
          std::to_string(limits.files_bytes),
          "--tmpfs",
          "/tmp",
          "--remount-ro",
          "/",
          "--chdir",
          "/tmp",
          "--seccomp",
          "3",
          "--",
          "/usr/bin/python3",
          "-I",
          "-"};
}

Result<ChildOutcome> run_in_sandbox(std::string_view program, const SandboxLimits& limits) {
  const FilterFile filter;
  if (filter.descriptor() < 0) return fail("the sandbox's filter cannot be kept in memory");
  return run_child({.command = sandbox_command(limits),
                    .environment = {"PATH=/usr/bin:/bin", "HOME=/tmp", "LC_ALL=C.UTF-8"},
                    .input = program,
                    .time_ms_max = limits.time_ms,
                    .output_bytes_max = limits.output_bytes,
                    .descriptor = filter.descriptor()});
}

// A word that the program cannot know before its last line has run.
std::string end_word() {
  std::array<std::byte, 16> bytes;
  fill_from_system(bytes);
  std::string word;
  for (const std::byte byte : bytes) word += fmt::format("{:02x}", std::to_integer<int>(byte));
  return word;
}

std::string_view last_line(std::string_view text) {
  while (text.ends_with('\n')) text.remove_suffix(1);
  return text.substr(text.rfind('\n') + 1);
}

Status look_for_sandbox() {
  constexpr std::string_view kNeed =
      "code is only run in a sandbox, which needs bubblewrap and python3 (apt install bubblewrap "
      "python3) and a kernel that allows user namespaces";
  const auto outcome = run_in_sandbox("print('ready')", {});
  if (!outcome) return fail(fmt::format("{}: {}", kNeed, outcome.error().message));
  if (outcome->output != "ready\n") {
    const std::string_view said = last_line(outcome->errors);
    return fail(fmt::format("{}: {}", kNeed, said.empty() ? "it does not start here" : said));
  }
  return {};
}

}  // namespace

Status sandbox_ready() {
  static const Status ready = look_for_sandbox();
  return ready;
}

Result<SandboxOutcome> run_python(std::string_view program, const SandboxLimits& limits) {
  MINKE_TRY(sandbox_ready());
  const std::string word = end_word();
  const std::string whole = fmt::format("{}\nprint('\\n{}')\n", program, word);
  MINKE_ASSIGN(ChildOutcome child, run_in_sandbox(whole, limits));
  SandboxOutcome outcome = {.timed_out = child.timed_out,
                            .output = std::move(child.output),
                            .errors = std::move(child.errors)};
  const std::string ending = fmt::format("\n{}\n", word);
  outcome.succeeded =
      !child.timed_out && child.exit_status == 0 && outcome.output.ends_with(ending);
  if (outcome.output.ends_with(ending)) {
    outcome.output.resize(outcome.output.size() - ending.size());
  }
  return outcome;
}

}  // namespace minke
