// The tables of the history, and how older files become newer ones. docs/history.md tells them.
#pragma once

#include "core/result.h"
#include "server/history/sqlite.h"

namespace minke::history {

// "mink": what a history has as its application_id.
inline constexpr int64_t kApplicationId = 0x6D696E6B;
inline constexpr int64_t kSchemaVersion = 1;

// Brings a new or older file to kSchemaVersion, in one transaction. Refuses, without a change, a
// file of a newer version and one that is not minke's.
Status migrate(Database& database);

}  // namespace minke::history
