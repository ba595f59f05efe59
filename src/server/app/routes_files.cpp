// Files that come and go: attachments, export, import, backup.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <filesystem>

#include "server/app/handling.h"
#include "server/documents/document_text.h"
#include "server/history/export.h"
#include "server/history/import.h"

namespace minke::server {
namespace {

namespace fs = std::filesystem;

// A file beside the history that has no name: it is gone when nobody holds it, however this ends.
class ScratchFile {
 public:
  static Result<std::shared_ptr<ScratchFile>> open(const fs::path& beside) {
    fs::path folder = beside.parent_path();
    if (folder.empty()) folder = ".";
    const int descriptor = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (descriptor < 0) {
      return fail(fmt::format("cannot write to {}: {}", folder.string(), std::strerror(errno)));
    }
    return std::make_shared<ScratchFile>(descriptor);
  }
  explicit ScratchFile(int descriptor) : descriptor_(descriptor) {}
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;
  ~ScratchFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

  Status write(std::string_view text) {
    while (!text.empty()) {
      const ssize_t wrote = ::write(descriptor_, text.data(), text.size());
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote <= 0) {
        return fail(fmt::format("cannot write what is to be sent: {}; make room and try again",
                                std::strerror(errno)));
      }
      text.remove_prefix(static_cast<size_t>(wrote));
      bytes_ += static_cast<uint64_t>(wrote);
    }
    return {};
  }
  std::shared_ptr<http::SentFile> take() {
    lseek(descriptor_, 0, SEEK_SET);
    return std::make_shared<http::SentFile>(std::exchange(descriptor_, -1), bytes_);
  }

 private:
  int descriptor_;
  uint64_t bytes_ = 0;
};

// Sent as a file to be kept, never shown: it may be anything.
http::Response download(const std::string& media_type, const std::string& name) {
  std::string encoded;
  for (const char c : name) {
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
    encoded += is_plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<uint8_t>(c));
  }
  return {.headers = {{"Content-Type", media_type},
                      {"Content-Disposition", "attachment; filename*=UTF-8''" + encoded},
                      {"Content-Security-Policy", "default-src 'none'; sandbox"},
                      {"Cache-Control", "private, no-store"}}};
}

std::string file_date() {
  const std::time_t now = std::time(nullptr);
  std::tm day{};
  gmtime_r(&now, &day);
  return fmt::format("{:04}-{:02}-{:02}", day.tm_year + 1900, day.tm_mon + 1, day.tm_mday);
}

// Few at a time: each may keep its worker for seconds.
constexpr int kReadersMax = 2;
std::atomic<int> readers = 0;  // NOLINT: of the whole process, as its processors are

struct ReaderTurn {
  bool is_taken = readers.fetch_add(1) < kReadersMax;
  ReaderTurn() = default;
  ReaderTurn(const ReaderTurn&) = delete;
  ReaderTurn& operator=(const ReaderTurn&) = delete;
  ~ReaderTurn() { readers.fetch_sub(1); }
};

void upload(App& app, const CallPtr& call) {
  auto document = std::make_shared<documents::Document>();
  const std::string name = *call->request->parameter("name");
  {
    const ReaderTurn turn;
    if (!turn.is_taken) {
      return call->fail({.status = 429,
                         .message = "other files are being read: try again",
                         .type = "rate_limit_error",
                         .retry_after_s = 1});
    }
    auto read = documents::read_document(name, call->request->body);
    if (!read) return call->fail(app_error(read.error()));
    *document = *std::move(read);
  }
  if (document->kind == documents::Kind::kImage) {
    return call->fail(bad_request("no model here sees images yet: attach text or a PDF", "name"));
  }
  app.history().post([call, document, name](history::Store& store) {
    const auto kind = document->kind == documents::Kind::kPdf ? history::AttachmentKind::kPdf
                                                              : history::AttachmentKind::kText;
    respond_with(*call, store.add_attachment({.name = name,
                                              .media_type = document->media_type,
                                              .kind = kind,
                                              .bytes = call->request->body,
                                              .text = std::move(document->text),
                                              .truncated = document->truncated}));
  });
}

void send_attachment(history::Store& store, const Call& call) {
  auto file = store.attachment_content(call.path.front());
  if (!file) return call.fail(app_error(file.error()));
  if (!*file) return call.fail(not_found("there is no such file"));
  http::Response response = download("application/octet-stream", (*file)->attachment.name);
  response.body = std::move((*file)->bytes);
  call.respond(std::move(response));
}

// One conversation a job, so that others come in between.
struct Exporting {
  CallPtr call;
  std::shared_ptr<ScratchFile> file;
  history::Export made;
};

void export_next(App& app, history::Store& store, const std::shared_ptr<Exporting>& exporting) {
  const auto chunk = exporting->made.next(store);
  if (!chunk) return exporting->call->fail(app_error(chunk.error()));
  if (!*chunk) {
    http::Response response =
        download("application/json", "minke-history-" + file_date() + ".json");
    response.file = exporting->file->take();
    return exporting->call->respond(std::move(response));
  }
  const Status written = exporting->file->write(**chunk);
  if (!written) return exporting->call->fail(app_error(written.error()));
  app.history().post(
      [&app, exporting](history::Store& again) { export_next(app, again, exporting); });
}

void begin_export(App& app, history::Store& store, const CallPtr& call) {
  const std::string* id = call->request->parameter("conversation");
  auto made = history::Export::begin(store, id == nullptr ? std::nullopt : std::optional(*id));
  if (!made) return call->fail(not_found(made.error().message));
  auto file = ScratchFile::open(app.history().path());
  if (!file) return call->fail(app_error(file.error()));
  export_next(app, store, std::make_shared<Exporting>(call, *std::move(file), *std::move(made)));
}

void import_next(App& app, history::Store& store, const CallPtr& call,
                 const std::shared_ptr<history::Import>& import) {
  if (!import->is_done()) {
    const Status status = import->step(store);
    if (!status) return call->fail(app_error(status.error()));
    return app.history().post(
        [&app, call, import](history::Store& again) { import_next(app, again, call, import); });
  }
  app.tell_shelves(store, true);
  app.tell_shelves(store, false);
  call->respond(history::to_value(import->report()));
}

void begin_import(App& app, const CallPtr& call) {
  auto begun = history::Import::begin(call->request->body);
  if (!begun) return call->fail(app_error(begun.error()));
  const auto import = std::make_shared<history::Import>(*std::move(begun));
  app.history().post(
      [&app, call, import](history::Store& store) { import_next(app, store, call, import); });
}

// On a worker, beside the history's own thread.
void backup(App& app, const CallPtr& call) {
  const fs::path path = app.history().path();
  const fs::path target = path.string() + ".backup-" + history::new_id();
  const Status written = history::write_backup(path, target);
  if (!written) return call->fail(app_error(written.error()));
  const int descriptor = ::open(target.c_str(), O_RDONLY | O_CLOEXEC);
  ::unlink(target.c_str());
  struct stat status{};
  if (descriptor < 0 || fstat(descriptor, &status) != 0)
    return call->fail(server_error("the backup cannot be read again"));
  http::Response response =
      download("application/vnd.sqlite3", "minke-history-" + file_date() + ".db");
  response.file =
      std::make_shared<http::SentFile>(descriptor, static_cast<uint64_t>(status.st_size));
  call->respond(std::move(response));
}

Routes transfer_routes(App& app) {
  constexpr size_t kImportBytes = size_t{256} << 20;
  return {{.method = "GET",
           .path = "/app/v1/export",
           .id = "appExport",
           .summary = "The history, or one conversation, as minke's JSON",
           .tag = "App",
           .query = {{.name = "conversation",
                      .shape = Shape::string().at_most(64),
                      .description = "Only this one"}},
           .answers = {{.description = "A file", .shape = Shape::map()}, missing_answer()},
           .handle =
               [&app](const CallPtr& call) {
                 app.history().post(
                     [&app, call](history::Store& store) { begin_export(app, store, call); });
               }},
          {.method = "POST",
           .path = "/app/v1/import",
           .id = "appImport",
           .summary = "Take in minke's, ChatGPT's or Open WebUI's JSON",
           .tag = "App",
           .takes_bytes = true,
           .body_bytes_max = kImportBytes,
           .answers = {{.description = "What was taken, and what was not",
                        .shape = Shape::object(
                            {required("format", Shape::string()),
                             required("conversations", Shape::integer(0, 1 << 30)),
                             required("messages", Shape::integer(0, 1 << 30)),
                             required("skipped", Shape::array(Shape::map(), 1000))})}},
           .handle = [&app](const CallPtr& call) { begin_import(app, call); }},
          {.method = "GET",
           .path = "/app/v1/backup",
           .id = "appBackup",
           .summary = "The history as one SQLite file, consistent while everything runs",
           .tag = "App",
           .answers = {{.description = "A file",
                        .media_type = "application/vnd.sqlite3",
                        .shape = Shape::string()}},
           .handle = [&app](const CallPtr& call) { backup(app, call); }}};
}

}  // namespace

Routes app_file_routes(App& app) {
  Routes routes = transfer_routes(app);
  routes.push_back({.method = "POST",
                    .path = "/app/v1/attachments",
                    .id = "appUpload",
                    .summary = "Give a file that messages may have",
                    .tag = "App",
                    .query = {{.name = "name",
                               .shape = Shape::string().at_least(1).at_most(256),
                               .description = "Its name",
                               .is_required = true}},
                    .takes_bytes = true,
                    .body_bytes_max = history::kLimits.attachment_bytes_max,
                    .answers = {{.description = "What it is", .shape = attachment_shape()}},
                    .handle = [&app](const CallPtr& call) { upload(app, call); }});
  routes.push_back({.method = "GET",
                    .path = "/app/v1/attachments/{id}",
                    .id = "appDownload",
                    .summary = "A file that was given",
                    .tag = "App",
                    .answers = {{.description = "The file",
                                 .media_type = "application/octet-stream",
                                 .shape = Shape::string()},
                                missing_answer()},
                    .handle = on_history(app, send_attachment)});
  return routes;
}

}  // namespace minke::server
