// Object: every value that a template can hold, with Python's meaning, and the Heap that pays for
// them.
//
// Lists, dicts and strings are immutable and shared, as in Jinja's immutable sandbox; only
// namespaces and iterators change. All of one render belongs to one Heap and one thread, and no
// object may outlive its heap (a program's constants have none). Faults inside the engine travel as
// the exception Fault, because they leave deep recursions of an interpreter; it never crosses the
// engine's border, where ChatTemplate turns it into an Error.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "text/jinja_text.h"

namespace minke::jinja {

// What one render may use. A template is a stranger's program.
struct Limits {
  int64_t steps_max = 10'000'000;  // one per node visited, per 32 bytes copied or 8 looked at
  size_t memory_bytes_max = size_t{256} << 20;
  size_t output_bytes_max = size_t{64} << 20;
  int calls_max = 700;   // depth of the evaluator: nested expressions, blocks and macros
  int nesting_max = 64;  // lists in lists in dicts
};

// A template went wrong; line 0 means that only the catcher knows the line.
struct Fault {
  std::string message;
  int line = 0;
  bool over_limit = false;  // the template went beyond its Limits
};
[[noreturn]] void fault(std::string message);
[[noreturn]] void over_limit(std::string message);
class Object;
// What Jinja does when a template uses a value that is not there.
[[noreturn]] void use_undefined(const Object& undefined);

class Heap;

// A share of the heap's memory, given back when the object that holds it goes.
class Charge {
 public:
  Charge() = default;
  Charge(Heap& heap, size_t bytes);
  ~Charge();
  Charge(const Charge&) = delete;
  Charge& operator=(const Charge&) = delete;

 private:
  Heap* heap_ = nullptr;
  size_t bytes_ = 0;
};

struct NoneType {};
struct Undefined {
  // Why, as Jinja words it; what an error says when the value is used after all.
  std::shared_ptr<const std::string> why;
};
struct StringBox;
struct ListBox;
struct DictBox;
struct NamespaceBox;
class LoopBox;
struct CallableBox;

// The order is that of Object::Rep.
enum class Kind {
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kList,
  kDict,
  kNamespace,
  kLoop,
  kCallable,
};

class Object {
 public:
  using Rep = std::variant<Undefined, NoneType, bool, int64_t, double,
                           std::shared_ptr<const StringBox>, std::shared_ptr<ListBox>,
                           std::shared_ptr<const DictBox>, std::shared_ptr<NamespaceBox>,
                           std::shared_ptr<LoopBox>, std::shared_ptr<const CallableBox>>;

  Object() = default;  // undefined, without a reason
  Object(Rep rep) : rep_(std::move(rep)) {}
  static Object none() { return Object(Rep(NoneType{})); }
  static Object boolean(bool value) { return Object(Rep(value)); }
  static Object integer(int64_t value) { return Object(Rep(value)); }
  static Object real(double value) { return Object(Rep(value)); }
  static Object undefined(std::string why);
  // A string of the program itself, on no heap.
  static Object constant(std::string bytes);

  Kind kind() const { return static_cast<Kind>(rep_.index()); }
  bool is(Kind kind) const { return this->kind() == kind; }
  bool is_undefined() const { return is(Kind::kUndefined); }
  bool is_none() const { return is(Kind::kNone); }
  bool is_string() const { return is(Kind::kString); }

  // Each only where kind() says so.
  bool as_bool() const { return std::get<bool>(rep_); }
  int64_t as_int() const { return std::get<int64_t>(rep_); }
  double as_real() const { return std::get<double>(rep_); }
  const Text& text() const;
  ListBox& list() const { return *std::get<std::shared_ptr<ListBox>>(rep_); }
  const DictBox& dict() const { return *std::get<std::shared_ptr<const DictBox>>(rep_); }
  NamespaceBox& name_space() const { return *std::get<std::shared_ptr<NamespaceBox>>(rep_); }
  const std::shared_ptr<LoopBox>& loop() const { return std::get<std::shared_ptr<LoopBox>>(rep_); }
  const CallableBox& callable() const {
    return *std::get<std::shared_ptr<const CallableBox>>(rep_);
  }
  const Rep& rep() const { return rep_; }
  // The same object, as Python's `is` would see it.
  bool is_same(const Object& other) const;

 private:
  Rep rep_;
};

using DictEntry = std::pair<Object, Object>;

struct StringBox {
  Text text;
  Charge charge;
};

// What a list is called and how it behaves; a template can tell them apart.
enum class Flavor {
  kList,
  kTuple,
  kRange,
  kIterator,
  kDictKeys,
  kDictValues,
  kDictItems,
  kGroup,
};

struct ListBox {
  std::vector<Object> items;
  Flavor flavor = Flavor::kList;
  int nesting = 1;
  size_t next = 0;               // kIterator: the first item not yet taken
  int64_t range[3] = {0, 0, 1};  // kRange: start, stop, step, for printing
  Charge charge;
};

struct DictBox {
  std::vector<DictEntry> entries;
  int nesting = 1;
  Charge charge;
  std::unordered_map<std::string, size_t> places;  // filled only where a search would be slow

  // The value of that key, or null.
  const Object* find(const Object& key) const;
  const Object* find(std::string_view key) const;
};

struct NamespaceBox {
  std::vector<std::pair<std::string, Object>> attributes;
  Object* find(std::string_view name);
};

// Builds a dict with Python's rule for repeated keys: first place, last value.
class DictBuilder {
 public:
  explicit DictBuilder(Heap& heap) : heap_(heap) {}
  void set(Object key, Object value);
  void set(std::string_view key, Object value);
  Object finish();

 private:
  Heap& heap_;
  std::vector<DictEntry> entries_;
  std::unordered_map<std::string, size_t> places_;
};

// Counts steps and live bytes, makes the objects that cost them. Not thread-safe.
class Heap {
 public:
  explicit Heap(const Limits& limits) : limits_(limits), steps_left_(limits.steps_max) {}
  Heap(const Heap&) = delete;
  Heap& operator=(const Heap&) = delete;

  const Limits& limits() const { return limits_; }
  void step(size_t count = 1);
  // Before work that will need about so many bytes more.
  void expect_room(size_t bytes) const;
  void take(size_t bytes);
  void give_back(size_t bytes) noexcept { live_bytes_ -= bytes; }

  Object string(Text text);
  Object string(std::string_view template_bytes) {
    return string(Text(std::string(template_bytes)));
  }
  Object list(std::vector<Object> items, Flavor flavor = Flavor::kList);
  Object tuple(std::vector<Object> items) { return list(std::move(items), Flavor::kTuple); }
  Object iterator(std::vector<Object> items) { return list(std::move(items), Flavor::kIterator); }
  Object range(int64_t start, int64_t stop, int64_t step);

 private:
  Limits limits_;
  int64_t steps_left_;
  size_t live_bytes_ = 0;
};

// --- Python's view of an object ------------------------------------------------------------------

std::string_view type_name(const Object& object);  // "str", "NoneType", "generator", ...
std::string described_type(const Object& object);  // "str object", "None"
bool is_truthy(const Object& object);
bool is_number(const Object& object);  // bool, int or float
double to_double(const Object& number);
// An int or a bool; faults with `what` for anything else.
int64_t to_index(const Object& object, std::string_view what);
bool equals(Heap& heap, const Object& a, const Object& b);
// Below, equal, above; faults where Python would raise. NaN compares as unordered (nullopt).
std::optional<int> compare(Heap& heap, const Object& a, const Object& b, std::string_view op);
bool contains(Heap& heap, const Object& container, const Object& item);
// len(); nullopt where Python has none.
std::optional<size_t> length(const Object& object);
bool is_iterable(const Object& object);
// list(object); takes what is left of an iterator.
std::vector<Object> iterate(Heap& heap, const Object& object);
// A key that two Python-equal objects share; faults for what cannot be hashed.
std::string hash_key(const Object& object);

// str() and repr().
Text to_text(Heap& heap, const Object& object);
void append_repr(Heap& heap, const Object& object, Text& out);
// str() as a plain string, for names and separators whose provenance does not matter.
std::string to_plain(Heap& heap, const Object& object);

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  std::optional<std::string> indent;  // one level
  Text item_separator;
  Text key_separator;
};
void append_json(Heap& heap, const Object& object, const JsonStyle& style, Text& out);

}  // namespace minke::jinja
