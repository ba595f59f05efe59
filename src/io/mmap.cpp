#include "io/mmap.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <utility>

namespace minke {
namespace {

size_t page_bytes() {
  static const auto bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

struct Descriptor {
  int value;
  explicit Descriptor(int fd) : value(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (value >= 0) close(value);
  }
  int release() { return std::exchange(value, -1); }
};

struct sigaction g_previous_action;

// The list of mappings is read by a signal handler, so it knows no locks: nodes are only ever
// added, and serve again once their mapping is gone.
struct RegionNode {
  std::atomic<uintptr_t> begin = 0;  // 0: free
  std::atomic<uintptr_t> end = 0;    // whole pages
  std::atomic<bool> broken = false;
  RegionNode* next = nullptr;
};
std::atomic<RegionNode*> g_regions = nullptr;
std::mutex g_regions_mutex;  // for those who add and free

// Zeros from the page at `at` to the end of the mapping that has it: what is cut off is the end.
bool put_zeros(uintptr_t at) {
  for (RegionNode* node = g_regions.load(); node != nullptr; node = node->next) {
    if (at < node->begin || at >= node->end || node->begin == 0) continue;
    const uintptr_t page = at / page_bytes() * page_bytes();
    void* zeros = mmap(reinterpret_cast<void*>(page), node->end - page, PROT_READ,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    node->broken = true;
    return zeros != MAP_FAILED;
  }
  return false;
}

void on_bus_error(int number, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  const bool done = put_zeros(reinterpret_cast<uintptr_t>(info->si_addr));
  errno = saved_errno;
  if (done) return;
  if ((g_previous_action.sa_flags & SA_SIGINFO) != 0) {
    g_previous_action.sa_sigaction(number, info, context);
  } else if (g_previous_action.sa_handler != SIG_DFL && g_previous_action.sa_handler != SIG_IGN) {
    g_previous_action.sa_handler(number);
  } else {
    // Back at the faulty instruction, the signal comes again.
    sigaction(number, &g_previous_action, nullptr);
  }
}

void install_handler() {
  static std::once_flag once;
  std::call_once(once, [] {
    (void)page_bytes();  // the handler finds it ready
    struct sigaction action{};
    action.sa_sigaction = on_bus_error;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &g_previous_action);
  });
}

}  // namespace

struct MappedFile::Region : RegionNode {};

MappedFile::Region* MappedFile::add_region(void* memory, size_t bytes) {
  install_handler();
  const std::lock_guard lock(g_regions_mutex);
  RegionNode* node = g_regions.load();
  while (node != nullptr && node->begin != 0) node = node->next;
  if (node == nullptr) {
    node = new Region;  // lives as long as the process
    node->next = g_regions.load();
    g_regions = node;
  }
  const auto begin = reinterpret_cast<uintptr_t>(memory);
  node->broken = false;
  node->end = (begin + bytes + page_bytes() - 1) / page_bytes() * page_bytes();
  node->begin = begin;
  return static_cast<Region*>(node);
}

void MappedFile::Unmapper::operator()(void* memory) const {
  {
    const std::lock_guard lock(g_regions_mutex);
    region->begin = 0;
  }
  munmap(memory, bytes);
  close(descriptor);
}

bool MappedFile::is_intact() const {
  if (memory_ == nullptr) return true;
  const Unmapper& mapping = memory_.get_deleter();
  struct stat info{};
  return !mapping.region->broken && fstat(mapping.descriptor, &info) == 0 &&
         static_cast<size_t>(info.st_size) >= mapping.bytes;
}

Result<MappedFile> MappedFile::open(const std::string& path) {
  // O_NONBLOCK: opening a named pipe would otherwise wait for a writer for ever.
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.value < 0) return fail(fmt::format("cannot open {}: {}", path, std::strerror(errno)));
  struct stat info{};
  if (fstat(file.value, &info) != 0) {
    return fail(fmt::format("cannot look at {}: {}", path, std::strerror(errno)));
  }
  if (S_ISDIR(info.st_mode)) return fail(fmt::format("{} is a folder, expected a file", path));
  if (!S_ISREG(info.st_mode)) return fail(fmt::format("{} is not a regular file", path));
  MappedFile mapped;
  const auto bytes = static_cast<size_t>(info.st_size);
  if (bytes == 0) return mapped;
  void* memory = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, file.value, 0);
  if (memory == MAP_FAILED) {
    return fail(
        fmt::format("cannot map the {} bytes of {}: {}", bytes, path, std::strerror(errno)));
  }
  mapped.memory_ = {
      memory,
      Unmapper{.bytes = bytes, .descriptor = file.release(), .region = add_region(memory, bytes)}};
  return mapped;
}

void MappedFile::will_need(size_t offset, size_t length) const {
  const size_t start = offset / page_bytes() * page_bytes();
  if (memory_ == nullptr || offset >= bytes().size()) return;
  const size_t end = std::min(offset + length, bytes().size());
  // Advice: nothing depends on whether the kernel takes it.
  madvise(static_cast<std::byte*>(memory_.get()) + start, end - start, MADV_WILLNEED);
}

void MappedFile::drop(size_t offset, size_t length) const {
  const size_t start = (offset + page_bytes() - 1) / page_bytes() * page_bytes();
  const size_t end = (offset + length) / page_bytes() * page_bytes();
  if (memory_ == nullptr || end > bytes().size() || start >= end) return;
  madvise(static_cast<std::byte*>(memory_.get()) + start, end - start, MADV_DONTNEED);
}

void MappedFile::drop(std::span<const std::byte> view) {
  const auto from = reinterpret_cast<uintptr_t>(view.data());
  const uintptr_t start = (from + page_bytes() - 1) / page_bytes() * page_bytes();
  const uintptr_t end = (from + view.size()) / page_bytes() * page_bytes();
  if (start < end) madvise(reinterpret_cast<void*>(start), end - start, MADV_DONTNEED);
}

}  // namespace minke
