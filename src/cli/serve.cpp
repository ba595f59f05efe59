// minke serve [MODEL...]: the server and the chat app, until Ctrl-C.

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <thread>
#include <utility>

#include "cli/command.h"
#include "cli/json_text.h"
#include "cli/model_flags.h"
#include "cli/prompt.h"
#include "cli/text_util.h"
#include "core/system_limits.h"
#include "io/model_cache.h"
#include "models/adapter.h"
#include "models/hf_folder.h"
#include "server/server.h"

namespace minke::cli {

namespace {

bool is_loopback(const std::string& address) {
  return address.starts_with("127.") || address == "::1";
}

// Hands SIGINT and SIGTERM to a thread of their own, which asks the server to stop: the first time
// gently, the second at once. Made before any other thread, so that all inherit the mask.
class StopSignals {
 public:
  StopSignals() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGINT);
    sigaddset(&set_, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set_, &before_);
  }
  ~StopSignals() {
    waiter_ = {};
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  void on_signal(std::function<void()> stop) {
    waiter_ = std::jthread([this, stop = std::move(stop)](const std::stop_token& over) {
      while (!over.stop_requested()) {
        constexpr timespec kWait = {.tv_sec = 0, .tv_nsec = 100'000'000};
        if (sigtimedwait(&set_, nullptr, &kWait) > 0) stop();
      }
    });
  }

 private:
  sigset_t set_{}, before_{};
  std::jthread waiter_;
};

class Serve : public Command {
 public:
  CommandText text() const override {
    return {.name = "serve",
            .summary = "Serve models to programs and to the chat app in a browser",
            .description =
                "Answers OpenAI's, Ollama's and Anthropic's clients, and shows the chat app, on "
                "this machine's address alone unless told otherwise. Models are loaded when "
                "they are asked for and share one memory budget. GET /openapi.json describes "
                "every route. Ctrl-C ends it when the answers under way are done, a second one "
                "at once.",
            .examples = {{"minke serve", "the default model and all that were pulled"},
                         {"minke serve qwen2.5-coder:0.5b model.gguf", "with a file of your own"},
                         {"minke serve qwen2.5-coder:0.5b --adapter sql=runs/sql/adapter.gguf",
                          "and a model `sql`, which is that one with an adapter"},
                         {"minke serve --host 0.0.0.0 --api-key-file key.txt",
                          "to the whole network, which takes a key"}}};
  }

  void declare(OptionList* options) override {
    options->positionals("MODEL", ValueKind::kModel,
                         "Models to offer beside those that were pulled; the first is the default",
                         &models_);
    options->group("Serving");
    options->text("--host", "ADDRESS", "Address to listen on", &host_).default_text = "127.0.0.1";
    options->integer("--port", "Port to listen on; 0 is any", {0, 65535}, &port_).default_text =
        "8080";
    options->file("--api-key-file", "File with the keys that clients must send, a line each",
                  &key_file_);
    options->texts("--host-name", "NAME", "Another name by which clients may call this server",
                   &host_names_);
    options->texts("--allow-origin", "URL", "A web page's origin that may use this server",
                   &origins_);
    options
        ->file("--history",
               "SQLite file of the chat app's conversations; it is made where it is missing",
               &history_)
        .default_text = "~/.local/share/minke/history.db";
    Option& runs = options->text(
        "--runs", "FOLDER", "Folder of trainings (`minke train`) that the chat app shows", &runs_);
    runs.kind = ValueKind::kFile;
    runs.default_text = "runs";
    options->flag("--no-history", "Keep no conversations, and serve no chat app", &no_history_);
    options->file("--tls-cert", "Certificate chain in PEM: serve HTTPS", &certificate_);
    options->file("--tls-key", "Its private key in PEM", &private_key_);
    options->integer("--parallel", "Requests that a model answers at once", {1, 1024}, &parallel_)
        .default_text = "64";
    options
        ->integer("--queue", "Requests that may wait for a model; more are refused", {0, 1'000'000},
                  &queue_)
        .default_text = "512";
    options
        ->integer("--queue-tokens", "Tokens that their prompts may have together",
                  {1, int64_t{1} << 40}, &queue_tokens_)
        .default_text = "4000000";
    options
        ->integer("--wait", "Seconds that a request may wait for its turn, or for a model's memory",
                  {1, 1'000'000}, &wait_)
        .default_text = "600";
    options
        ->integer("--idle-minutes", "Unload a model after so long without a request; -1 is never",
                  {-1, 1'000'000}, &idle_minutes_)
        .default_text = "30";
    options->flag("--no-disk-cache",
                  "Do not keep on the disk what models have read, for after a restart",
                  &no_disk_cache_);
    options
        ->size("--disk-cache", "Size of those files on the disk at most, a model",
               {uint64_t{1} << 20, uint64_t{1} << 50}, &disk_cache_)
        .default_text = "4G";
    options->flag("--json", "Print the address as JSON, once it is listened on", &json_);
    options->choice("--log", "Form of the log on stderr", {"text", "json", "none"}, &log_)
        .default_text = "text";
    engine_.declare_for_many(options);
    options
        ->texts("--adapter", "[NAME[@MODEL]=]FILE",
                "A LoRA adapter over MODEL (left out: the first), offered as a model NAME; without "
                "NAME, MODEL itself has it",
                &adapters_)
        .kind = ValueKind::kFile;
    options->file("--chat-template",
                  "A chat template (Jinja) for all models, to use instead of their own",
                  &template_file_);
  }

  Status run(Console* console) override {
    server::ServeOptions options;
    MINKE_TRY(set_up_http(&options));
    MINKE_TRY(set_up_models(&options));
    MINKE_TRY(check_runs(console));
    if (!no_history_) {
      MINKE_ASSIGN(options.history, history_file());
      options.runs = runs_.value_or("runs");
    }
    StopSignals signals;
    MINKE_ASSIGN(const std::unique_ptr<server::ServeApp> app,
                 server::ServeApp::create(std::move(options)));
    signals.on_signal([&app] { app->stop(); });
    const std::string host = host_.value_or("127.0.0.1");
    const std::string url =
        fmt::format("{}://{}:{}/", certificate_ ? "https" : "http",
                    host.find(':') == std::string::npos ? host : "[" + host + "]", app->port());
    if (json_) {
      console->out(json_line({{"url", url}, {"host", host}, {"port", app->port()}}));
    } else {
      console->out(fmt::format("minke serves {}  (Ctrl-C ends it)\n", url));
    }
    MINKE_TRY(console->flush());
    app->run();
    return {};
  }

 private:
  // A folder that is not there yet may be made by a training while this serves.
  Status check_runs(Console* console) const {
    if (!runs_) return {};
    std::error_code error;
    if (!std::filesystem::exists(*runs_, error)) {
      console->note(
          fmt::format("--runs {}: there is no such folder yet\n", printable(*runs_, 400)));
    } else if (!std::filesystem::is_directory(*runs_, error)) {
      return misuse(fmt::format("--runs {}: expected a folder of trainings, and this is a file",
                                printable(*runs_, 400)));
    }
    return {};
  }

  Result<std::string> history_file() const {
    if (history_) return *history_;
    MINKE_ASSIGN(const std::filesystem::path folder, data_dir());
    return (folder / "history.db").string();
  }

  Status set_up_http(server::ServeOptions* options) {
    http::ServerOptions& server = options->http;
    server.address = host_.value_or(server.address);
    server.port = static_cast<uint16_t>(port_.value_or(8080));
    if (certificate_.has_value() != private_key_.has_value()) {
      return misuse("HTTPS takes --tls-cert and --tls-key together");
    }
    server.certificate = certificate_.value_or("");
    server.private_key = private_key_.value_or("");
    server::GateOptions& gate = options->gate;
    gate.origins = origins_;
    gate.hosts = host_names_;
    for (const char* name : {"localhost", "127.0.0.1", "[::1]"}) gate.hosts.emplace_back(name);
    gate.hosts.push_back(server.address.find(':') == std::string::npos
                             ? server.address
                             : "[" + server.address + "]");
    if (key_file_) {
      MINKE_ASSIGN(const std::string text, read_input_bytes(*key_file_));
      for (const std::string& line : lines_of(text)) {
        if (!line.empty()) gate.api_keys.push_back(line);
      }
      if (gate.api_keys.empty()) {
        return misuse(fmt::format("{} has no key: expected one a line", *key_file_));
      }
    }
    if (!is_loopback(server.address)) {
      if (gate.api_keys.empty()) {
        return misuse(fmt::format(
            "{} is not this machine alone: whoever reaches it could use the models and read the "
            "chats, so it takes --api-key-file with a key for those who may",
            server.address));
      }
      gate.takes_addresses = true;
      add_machine_names(&gate.hosts);
    }
    if (log_ == "json") options->log.form = server::LogForm::kJson;
    if (log_ == "none") options->log.form = server::LogForm::kNone;
    return {};
  }

  // What others of the network call this machine.
  static void add_machine_names(std::vector<std::string>* hosts) {
    std::array<char, 256> name{};
    if (gethostname(name.data(), name.size() - 1) != 0 || name[0] == '\0') return;
    hosts->emplace_back(name.data());
    hosts->push_back(hosts->back() + ".local");
  }

  static std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    size_t begin = 0;
    while (begin < text.size()) {
      size_t end = text.find('\n', begin);
      if (end == std::string::npos) end = text.size();
      std::string line = text.substr(begin, end - begin);
      while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
      lines.push_back(std::move(line));
      begin = end + 1;
    }
    return lines;
  }

  // Whether it was named by its path, and so is to be known besides those that were pulled.
  static bool is_file(const std::string& model, const server::ServedModel& served) {
    return std::filesystem::path(model).has_parent_path() || model == served.path;
  }

  // A name of the catalogue is offered as that; a file, under its own name.
  static Result<server::ServedModel> served_model(const std::string& model) {
    MINKE_ASSIGN(const std::string path, resolve_model(model));
    server::ServedModel served{.name = model, .path = path};
    if (is_file(model, served)) {
      const std::filesystem::path file = std::filesystem::absolute(path).lexically_normal();
      served.name = file.extension() == ".gguf" ? file.stem().string() : file.filename().string();
      if (served.name.empty()) served.name = file.parent_path().filename().string();
    } else if (const Result<CatalogueEntry> entry = find_pullable(model)) {
      served.name = entry->name;
    }
    return served;
  }

  // What --adapter says: FILE, NAME=FILE or NAME@MODEL=FILE. A FILE with '=' in its name is given
  // with its folder.
  struct AdapterWish {
    std::string name = {};   // empty: the model's own
    std::string model = {};  // empty: the first
    std::string file = {};
  };
  static Result<AdapterWish> read_adapter(const std::string& text) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos) return AdapterWish{.file = text};
    const std::string before = text.substr(0, equals);
    const size_t at = before.find('@');
    AdapterWish wish = {.name = before.substr(0, at), .file = text.substr(equals + 1)};
    if (wish.name.contains('/')) return AdapterWish{.file = text};
    if (at != std::string::npos) wish.model = before.substr(at + 1);
    if (std::ranges::any_of(wish.name, [](unsigned char c) { return c <= ' ' || c == 0x7F; })) {
      return misuse(
          fmt::format("--adapter {}: a model's name has no spaces and no control "
                      "characters in it",
                      printable(text, 400)));
    }
    const bool lacks_model = at != std::string::npos && wish.model.empty();
    if (wish.name.empty() || wish.file.empty() || lacks_model || !is_utf8(wish.name)) {
      return misuse(fmt::format("--adapter takes FILE, NAME=FILE or NAME@MODEL=FILE, got '{}'",
                                printable(text, 400)));
    }
    return wish;
  }

  // What an adapter is over: a file that is served by its name here, or as for MODEL.
  static Result<server::ServedModel> adapted_model(const std::string& model,
                                                   const server::HostOptions& host) {
    const auto known = std::ranges::find_if(host.served, [&](const server::ServedModel& one) {
      return one.name == model && one.base.empty();
    });
    if (known == host.served.end()) return served_model(model);
    return server::ServedModel{.name = known->name, .path = known->path};
  }

  static Status check_is_free(const std::string& name, const server::HostOptions& host) {
    MINKE_ASSIGN(const std::filesystem::path folder, models_dir());
    MINKE_ASSIGN(const std::vector<ListedModel> listed, list_models(folder));
    const bool is_known =
        std::ranges::any_of(listed, [&](const auto& one) { return one.entry.name == name; });
    const bool is_served =
        std::ranges::find(host.served, name, &server::ServedModel::name) != host.served.end();
    if (!is_known && !is_served) return {};
    return misuse(
        fmt::format("--adapter {0}=...: there is a model '{0}' already; take another name",
                    printable(name, 400)));
  }

  // What is wrong with an adapter is told here, not to the first who asks for it.
  Status add_adapter(const std::string& text, server::HostOptions* host) const {
    MINKE_ASSIGN(const AdapterWish wish, read_adapter(text));
    const std::string& model = !wish.model.empty() ? wish.model
                               : models_.empty()   ? host->default_model
                                                   : models_.front();
    MINKE_ASSIGN(server::ServedModel served, adapted_model(model, *host));
    MINKE_ASSIGN(const GgufFile file, GgufFile::open(wish.file));
    MINKE_ASSIGN(const GgufFile weights, open_checkpoint(served.path));
    MINKE_TRY(Adapter::check(file, weights));
    served.adapter = wish.file;
    if (!wish.name.empty()) {
      MINKE_TRY(check_is_free(wish.name, *host));
      served.base = std::exchange(served.name, wish.name);
      host->served.push_back(std::move(served));
      return {};
    }
    const auto same = std::ranges::find(host->served, served.name, &server::ServedModel::name);
    if (same == host->served.end()) {
      host->served.push_back(std::move(served));
    } else if (same->adapter.empty()) {
      same->adapter = wish.file;
    } else {
      return misuse(
          fmt::format("--adapter {}: {} has one already, {}; give this one a name of its "
                      "own (NAME=FILE)",
                      printable(wish.file, 400), served.name, same->adapter));
    }
    return {};
  }

  Status set_up_models(server::ServeOptions* options) {
    server::HostOptions& host = options->models;
    for (const std::string& model : models_) {
      MINKE_ASSIGN(const server::ServedModel served, served_model(model));
      if (is_file(model, served)) host.served.push_back(served);
      if (host.default_model.empty()) host.default_model = served.name;
    }
    options->loads_default = !models_.empty();
    if (host.default_model.empty()) {
      MINKE_ASSIGN(const std::filesystem::path folder, models_dir());
      host.default_model = choose_default_model(folder, available_memory_bytes()).entry.name;
    }
    for (const std::string& adapter : adapters_) MINKE_TRY(add_adapter(adapter, &host));
    if (template_file_) {
      MINKE_ASSIGN(engine_.chat_template, read_file_bytes(*template_file_, size_t{1} << 20));
      if (engine_.chat_template.empty()) {
        return misuse(fmt::format("{} is empty: it is no chat template", *template_file_));
      }
    }
    host.engine = engine_.engine_options("");
    host.engine.memory_bytes = 0;
    host.memory_bytes = engine_.memory.value_or(0);
    if (engine_.draft_model) {
      MINKE_ASSIGN(host.engine.draft_model, resolve_model(*engine_.draft_model));
    }
    host.limits.running_max = parallel_.value_or(host.limits.running_max);
    host.limits.waiting_max = queue_.value_or(host.limits.waiting_max);
    host.limits.waiting_tokens_max = queue_tokens_.value_or(host.limits.waiting_tokens_max);
    if (!no_disk_cache_) {
      MINKE_ASSIGN(const std::filesystem::path models, models_dir());
      host.cache_folder = (models.parent_path() / "prompts").string();
    }
    host.cache_file_bytes = disk_cache_.value_or(host.cache_file_bytes);
    if (wait_) {
      host.waiting_time_max = std::chrono::seconds(*wait_);
      options->service.waiting_time_max = host.waiting_time_max;
    }
    if (idle_minutes_) host.idle_time = std::chrono::minutes(*idle_minutes_);
    return {};
  }

  std::vector<std::string> models_, adapters_;
  std::optional<std::string> history_;
  std::optional<std::string> runs_;
  bool no_history_ = false;
  std::optional<std::string> host_, key_file_, certificate_, private_key_, log_, template_file_;
  std::optional<int64_t> port_, parallel_, queue_, queue_tokens_, wait_, idle_minutes_;
  std::vector<std::string> host_names_, origins_;
  std::optional<uint64_t> disk_cache_;
  bool no_disk_cache_ = false;
  bool json_ = false;
  EngineFlags engine_;
};

}  // namespace

std::unique_ptr<Command> make_serve() { return std::make_unique<Serve>(); }

}  // namespace minke::cli
