#include "train/data/data_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>
#include <utility>

#include "core/check.h"
#include "train/data/shuffle.h"
#include "train/data/text_file.h"

namespace minke {

// Examples have tickets, counted from 0 over all epochs. A ticket's example lies in the slot of its
// number modulo the number of slots, from when a worker has made it to when it is taken.
struct DataSource::Impl {
  Impl(DataOptions given, const Tokenizer& tokenizer, const ChatTemplate* chat_template)
      : options(std::move(given)), reader(tokenizer, chat_template, options.form) {}

  Status open_files();
  Result<Example> make(uint64_t ticket) const;
  void work(const std::stop_token& stop);
  DataPosition position_of(uint64_t ticket) const {
    return {.epoch = static_cast<int64_t>(ticket / count),
            .example = static_cast<int64_t>(ticket % count)};
  }

  DataOptions options;
  ExampleReader reader;
  std::vector<TextFile> files;
  std::vector<uint64_t> first_records;  // of each file, among those of all
  uint64_t count = 0;                   // examples of an epoch

  std::mutex mutex;
  std::condition_variable_any slot_is_free, example_is_made;
  std::vector<std::optional<Result<Example>>> slots;
  uint64_t next_to_make = 0;
  uint64_t next_to_take = 0;
  std::vector<std::jthread> workers;  // last: they end before what they use
};

Status DataSource::Impl::open_files() {
  if (options.files.empty()) return misuse("no file of training data is named");
  for (const std::string& path : options.files) {
    MINKE_ASSIGN(TextFile file, TextFile::open(path, options.text_block_bytes));
    first_records.push_back(count);
    count += static_cast<uint64_t>(file.records());
    if (file.records() == 0) return fail(fmt::format("{}: has no example in it", path));
    files.push_back(std::move(file));
  }
  return {};
}

Result<Example> DataSource::Impl::make(uint64_t ticket) const {
  const uint64_t place = ticket % count;
  const uint64_t record =
      options.shuffled ? Shuffle(options.seed, ticket / count, count).at(place) : place;
  const auto behind = std::ranges::upper_bound(first_records, record);
  const auto index = static_cast<size_t>(behind - first_records.begin()) - 1;
  const TextFile& file = files[index];
  const auto in_file = static_cast<int64_t>(record - first_records[index]);
  const std::string_view bytes = file.record(in_file);
  auto example = file.kind() == TextFile::Kind::kText ? Result<Example>(reader.read_text(bytes))
                                                      : reader.read_json(bytes);
  if (!file.is_intact()) {
    return fail(fmt::format("{}: was cut short or could not be read", file.path()));
  }
  if (example) return example;
  return fail(
      fmt::format("{}:{}: {}", file.path(), file.line_of(in_file), example.error().message));
}

void DataSource::Impl::work(const std::stop_token& stop) {
  std::unique_lock lock(mutex);
  while (true) {
    const bool may_make =
        slot_is_free.wait(lock, stop, [&] { return next_to_make < next_to_take + slots.size(); });
    if (!may_make || stop.stop_requested()) return;
    const uint64_t ticket = next_to_make++;
    lock.unlock();
    Result<Example> example = make(ticket);
    lock.lock();
    slots[ticket % slots.size()] = std::move(example);
    if (ticket == next_to_take) example_is_made.notify_one();
  }
}

DataSource::DataSource(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
DataSource::~DataSource() = default;

Result<std::unique_ptr<DataSource>> DataSource::open(DataOptions options,
                                                     const Tokenizer& tokenizer,
                                                     const ChatTemplate* chat_template,
                                                     const DataPosition& start) {
  CHECK(options.threads >= 1 && options.ahead >= 1);
  CHECK(start.epoch >= 0 && start.example >= 0);
  auto impl = std::make_unique<Impl>(std::move(options), tokenizer, chat_template);
  MINKE_TRY(impl->open_files());
  if (static_cast<uint64_t>(start.example) >= impl->count) {
    return fail(
        fmt::format("the data has {} examples, and the run stopped at example {} of an epoch; it "
                    "can only go on with the data that it began with",
                    impl->count, start.example));
  }
  impl->next_to_take =
      static_cast<uint64_t>(start.epoch) * impl->count + static_cast<uint64_t>(start.example);
  impl->next_to_make = impl->next_to_take;
  impl->slots.resize(static_cast<size_t>(impl->options.ahead));
  for (int i = 0; i < impl->options.threads; ++i) {
    impl->workers.emplace_back(
        [raw = impl.get()](const std::stop_token& stop) { raw->work(stop); });
  }
  return std::unique_ptr<DataSource>(new DataSource(std::move(impl)));
}

int64_t DataSource::examples_per_epoch() const { return static_cast<int64_t>(impl_->count); }
DataPosition DataSource::position() const { return impl_->position_of(impl_->next_to_take); }

Result<Example> DataSource::next() {
  std::unique_lock lock(impl_->mutex);
  std::optional<Result<Example>>& slot = impl_->slots[impl_->next_to_take % impl_->slots.size()];
  impl_->example_is_made.wait(lock, [&] { return slot.has_value(); });
  if (!*slot) return std::unexpected(slot->error());
  Result<Example> example = *std::exchange(slot, std::nullopt);
  ++impl_->next_to_take;
  impl_->slot_is_free.notify_one();
  return example;
}

}  // namespace minke
