// The options of a verb as objects: one declaration gives the parser, the help, the completions and
// the machine-readable description (`minke VERB --help --json`).
//
// Each option writes to a variable of its command, which outlives the list, and refuses what is not
// in its range with a sentence that names the option, the range and the value. Used by one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace minke::cli {

// What help says of a MODEL that is left out.
inline constexpr const char* kModelWords =
    "A GGUF file, a folder of Hugging Face's, or a name of the catalogue";
inline constexpr const char* kDefaultModelWords =
    "qwen2.5-coder:1.5b, or its 0.5b where memory is short";

// What a value is: for checking, for the description, and for what the shell completes.
enum class ValueKind : uint8_t { kNone, kText, kInteger, kNumber, kSize, kChoice, kFile, kModel };
const char* value_kind_name(ValueKind kind);

struct Option {
  // Initialised one by one, so that a declaration may name only what it needs.
  std::string name = {};        // "--temp"; for a positional argument its name in the help: "MODEL"
  std::string value_name = {};  // "T"; empty for a flag and for a positional argument
  std::string help = {};
  std::string group = {};
  ValueKind kind = ValueKind::kNone;
  std::string range = {};         // "from 0 to 5"; empty when anything goes
  std::string default_text = {};  // empty when there is none to speak of
  std::vector<std::string> choices = {};
  bool required = false;
  bool repeatable = false;
  std::function<Status(std::string_view)> set = {};

  bool is_flag() const { return kind == ValueKind::kNone; }
  bool is_positional() const { return !name.starts_with('-'); }
};

template <typename T>
struct Range {
  T low;
  T high;
};

class OptionList {
 public:
  // Options declared from now on stand under this heading of the help.
  void group(std::string heading) { group_ = std::move(heading); }

  // Each returns the option, so that the caller may mark it (required, repeatable, default_text).
  Option& flag(std::string name, std::string help, bool* out);
  Option& text(std::string name, std::string value_name, std::string help,
               std::optional<std::string>* out);
  Option& texts(std::string name, std::string value_name, std::string help,
                std::vector<std::string>* out);
  Option& file(std::string name, std::string help, std::optional<std::string>* out);
  Option& integer(std::string name, std::string help, Range<int64_t> range,
                  std::optional<int64_t>* out);
  Option& unsigned_integer(std::string name, std::string help, std::optional<uint64_t>* out);
  Option& number(std::string name, std::string help, Range<double> range,
                 std::optional<double>* out);
  Option& size(std::string name, std::string help, Range<uint64_t> range,
               std::optional<uint64_t>* out);
  Option& choice(std::string name, std::string help, std::vector<std::string> choices,
                 std::optional<std::string>* out);
  Option& positional(std::string name, ValueKind kind, std::string help,
                     std::optional<std::string>* out);
  Option& positionals(std::string name, ValueKind kind, std::string help,
                      std::vector<std::string>* out);

  // Another help and default for an option that was declared by a group of flags.
  void describe(std::string_view name, std::string help, std::string default_text);

  const std::vector<Option>& all() const { return options_; }
  const Option* find(std::string_view name) const;

 private:
  Option& add(Option option);

  std::string group_ = "Options";
  std::vector<Option> options_;
};

// "4G", "800M", "1.5GiB", "2000000": K, M, G, T and KiB ... are powers of 1024, KB ... of 1000.
Result<uint64_t> parse_size(std::string_view text);
// The whole text as a decimal number, finite; none when it is anything else.
std::optional<double> parse_number(std::string_view text);
std::optional<int64_t> parse_integer(std::string_view text);
std::optional<uint64_t> parse_unsigned(std::string_view text);

}  // namespace minke::cli
