// Any bytes as a file to import: refused, or taken within the bounds; and what is taken must be a
// forest that the store holds, exports and takes again.
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "core/check.h"
#include "server/history/export.h"
#include "server/history/import.h"

namespace {

using minke::history::Export;
using minke::history::Import;
using minke::history::Store;

std::filesystem::path store_path() {
  return std::filesystem::temp_directory_path() /
         ("minke-fuzz-history-" + minke::history::new_id() + ".db");
}

// One store for all inputs; each leaves it empty.
Store& store() {
  static const std::filesystem::path path = store_path();
  static std::unique_ptr<Store> opened = [] {
    auto result = Store::open({.path = path});
    CHECK(result.has_value());
    return *std::move(result);
  }();
  return *opened;
}

minke::history::ImportReport take(std::string text) {
  auto import = Import::begin(std::move(text));
  if (!import) return {};
  while (!import->is_done()) {
    const minke::Status status = import->step(store());
    CHECK(status.has_value());
  }
  return import->report();
}

std::string exported() {
  std::string text;
  auto made = Export::begin(store(), std::nullopt);
  CHECK(made.has_value());
  while (true) {
    auto chunk = made->next(store());
    CHECK(chunk.has_value());
    if (!*chunk) return text;
    text += **chunk;
  }
}

void remove_all() {
  for (const std::string& id : *store().conversation_ids())
    CHECK(store().delete_conversation(id).has_value());
  for (const auto& folder : *store().folders()) CHECK(store().delete_folder(folder.id).has_value());
  for (const auto& preset : *store().presets()) CHECK(store().delete_preset(preset.id).has_value());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto report = take({reinterpret_cast<const char*>(data), size});
  if (report.conversations == 0) return 0;
  const std::string text = exported();
  CHECK(minke::parse_json(text).has_value());
  CHECK_EQ(take(text).conversations, 0);
  remove_all();
  const auto again = take(text);
  CHECK_EQ(again.conversations, report.conversations);
  CHECK_EQ(again.messages, report.messages);
  remove_all();
  return 0;
}
