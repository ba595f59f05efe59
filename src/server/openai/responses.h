// OpenAI's Responses: what its requests mean, the table of those that are kept, and how an answer
// is written. A request's input is a list of items (messages, calls of tools and their outputs,
// reasoning) from which turns are made; an answer is such a list again.
#pragma once

#include <chrono>
#include <expected>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "server/openai/openai.h"

namespace minke::server {

// Responses that were kept (`store`), so that a later request can go on from one by its id. In
// memory alone, the least recently used go first. An id is no secret to the clients of one key, and
// says nothing to those of another. Any thread.
class ResponseTable {
 public:
  struct Kept {
    std::string key;               // of the client that asked
    Value response;                // as it is answered
    Value::Array input;            // the request's items
    std::vector<ChatTurn> turns;   // the conversation up to its end, without instructions; none yet
    std::weak_ptr<Asking> asking;  // while it is being answered
  };

  ResponseTable(size_t count_max, size_t bytes_max)
      : count_max_(count_max), bytes_max_(bytes_max) {}

  void keep(const std::string& id, Kept kept);
  // If it is still there.
  void update(const std::string& id, Kept kept);
  void set_asking(const std::string& id, const std::weak_ptr<Asking>& asking);
  std::optional<Kept> find(const std::string& id, const std::string& key);
  // An item of an answer that is kept, by the item's id.
  std::optional<Value> find_item(const std::string& id, const std::string& key);
  // False: there is none, or it is another client's; find() has none then.
  bool remove(const std::string& id, const std::string& key);

 private:
  struct Entry {
    std::string id;
    size_t bytes = 0;
    Kept kept;
  };
  using Place = std::list<Entry>::iterator;
  void insert(const std::string& id, size_t bytes, Kept kept);  // mutex_ is held, in both
  void drop(Place place);

  const size_t count_max_, bytes_max_;
  std::mutex mutex_;
  std::list<Entry> entries_;  // latest first
  std::unordered_map<std::string, Place> by_id_, by_item_;
  size_t bytes_ = 0;
};

struct ResponseAsk {
  Ask ask;
  std::vector<ChatTurn> conversation;    // what was said, without instructions
  Value::Array input;                    // as items
  std::set<std::string> custom_tools;    // their calls carry text, not JSON
  std::vector<std::string> passed_over;  // kinds of tools and items that mean nothing here
  bool streams = false;
  bool stores = true;
  bool wants_logprobs = false;
  bool wants_summary = false;  // thinking as a summary, not as content
  // Members of the request that the answer repeats.
  Value::Object repeated;
};

Shape response_request_shape();
Shape response_shape();
std::expected<ResponseAsk, ApiError> read_response_request(const Call& call, ResponseTable& table);

// Answers a call, whole or as events, and keeps it in the table if that is wanted.
void ask_response(ChatService& service, const std::shared_ptr<Call>& call, ResponseAsk asked,
                  const std::shared_ptr<ResponseTable>& table);

}  // namespace minke::server
