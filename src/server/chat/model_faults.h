// Why a model of a server cannot be had, or not be deleted, as clients are told. Plain functions,
// any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "server/api/route.h"
#include "server/chat/model_facts.h"

namespace minke::server {

// A model for which there is no room beside those that are being asked.
struct RoomFault {
  std::string model;
  uint64_t wanted = 0;                    // bytes_to_run
  uint64_t budget = 0;                    // bytes
  uint64_t held = 0;                      // bytes
  std::vector<std::string> holders = {};  // models that are being asked
  int retry_after_s = 0;
};
// `facts`: the model's; null: not known.
ApiError no_room_error(const RoomFault& fault, const ModelFacts* facts);

// Whether both are there and the same.
bool is_same_file(const std::string& a, const std::string& b);
// `other` is made of `name`'s file, so that it cannot be deleted.
ApiError in_use_error(std::string_view name, std::string_view other);

}  // namespace minke::server
