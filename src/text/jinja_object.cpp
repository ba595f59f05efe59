#include "text/jinja_object.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "text/jinja_format.h"
#include "text/jinja_interpreter.h"

namespace minke::jinja {

void fault(std::string message) { throw Fault{std::move(message)}; }
void over_limit(std::string message) { throw Fault{std::move(message), 0, true}; }

void use_undefined(const Object& undefined) {
  const auto& why = std::get<Undefined>(undefined.rep()).why;
  fault(why ? *why : "the value is undefined");
}

// --- memory --------------------------------------------------------------------------------------

Charge::Charge(Heap& heap, size_t bytes) : heap_(&heap), bytes_(bytes) { heap.take(bytes); }
Charge::~Charge() {
  if (heap_ != nullptr) heap_->give_back(bytes_);
}

void Heap::step(size_t count) {
  steps_left_ -= static_cast<int64_t>(std::min<size_t>(count, size_t{1} << 62));
  if (steps_left_ < 0)
    over_limit(fmt::format("the template takes more than {} steps; does it loop without end?",
                           limits_.steps_max));
}

void Heap::expect_room(size_t bytes) const {
  if (bytes > limits_.memory_bytes_max || live_bytes_ > limits_.memory_bytes_max - bytes)
    over_limit(
        fmt::format("the template needs more than {} bytes of memory", limits_.memory_bytes_max));
}

void Heap::take(size_t bytes) {
  expect_room(bytes);
  live_bytes_ += bytes;
}

Object Heap::string(Text text) {
  step(1 + text.size() / 32);
  const size_t bytes =
      sizeof(StringBox) + text.bytes().capacity() + text.user_spans().capacity() * sizeof(Span);
  return Object(Object::Rep(
      std::shared_ptr<const StringBox>(new StringBox{std::move(text), Charge(*this, bytes)})));
}

namespace {

int nesting_of(const Object& object) {
  switch (object.kind()) {
    case Kind::kList:
      return object.list().nesting;
    case Kind::kDict:
      return object.dict().nesting;
    case Kind::kLoop:
      return object.loop()->nesting();
    case Kind::kCallable: {
      const Object& self = object.callable().self;
      return self.is(Kind::kList)   ? self.list().nesting
             : self.is(Kind::kDict) ? self.dict().nesting
                                    : 0;
    }
    default:
      return 0;
  }
}

void check_nesting(const Heap& heap, int nesting) {
  if (nesting > heap.limits().nesting_max)
    fault(fmt::format("values are nested more than {} deep", heap.limits().nesting_max));
}

}  // namespace

Object Heap::list(std::vector<Object> items, Flavor flavor) {
  step(1 + items.size() / 4);
  int nesting = 0;
  for (const Object& item : items) nesting = std::max(nesting, nesting_of(item));
  check_nesting(*this, nesting + 1);
  const size_t bytes = sizeof(ListBox) + items.capacity() * sizeof(Object);
  return Object(Object::Rep(std::shared_ptr<ListBox>(
      new ListBox{std::move(items), flavor, nesting + 1, 0, {0, 0, 1}, Charge(*this, bytes)})));
}

Object Heap::range(int64_t start, int64_t stop, int64_t step_size) {
  if (step_size == 0) fault("range() arg 3 must not be zero");
  // Within these bounds no arithmetic on a range can overflow.
  constexpr int64_t kBound = int64_t{1} << 53;
  for (const int64_t value : {start, stop, step_size})
    if (value < -kBound || value > kBound) fault("range() takes numbers up to 2**53");
  const int64_t span = step_size > 0 ? stop - start : start - stop;
  const int64_t stride = std::abs(step_size);
  const int64_t count = span <= 0 ? 0 : (span + stride - 1) / stride;
  constexpr int64_t kRangeMax = 100'000;  // Jinja's sandbox has the same MAX_RANGE
  if (count > kRangeMax)
    fault(fmt::format("Range too big. The sandbox blocks ranges larger than MAX_RANGE ({}).",
                      kRangeMax));
  std::vector<Object> items;
  items.reserve(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) items.push_back(Object::integer(start + i * step_size));
  Object result = list(std::move(items), Flavor::kRange);
  ListBox& box = result.list();
  box.range[0] = start;
  box.range[1] = stop;
  box.range[2] = step_size;
  return result;
}

// --- Object --------------------------------------------------------------------------------------

Object Object::undefined(std::string why) {
  return Object(Rep(Undefined{std::make_shared<const std::string>(std::move(why))}));
}

Object Object::constant(std::string bytes) {
  return Object(Rep(std::shared_ptr<const StringBox>(new StringBox{Text(std::move(bytes)), {}})));
}

const Text& Object::text() const { return std::get<std::shared_ptr<const StringBox>>(rep_)->text; }

bool Object::is_same(const Object& other) const {
  if (kind() != other.kind()) return false;
  switch (kind()) {
    case Kind::kUndefined:
      return true;
    case Kind::kNone:
      return true;
    case Kind::kBool:
      return as_bool() == other.as_bool();
    case Kind::kInt:
      return as_int() == other.as_int();
    case Kind::kFloat:
      return as_real() == other.as_real();
    case Kind::kString:
      return text().bytes() == other.text().bytes();
    case Kind::kList:
      return &list() == &other.list();
    case Kind::kDict:
      return &dict() == &other.dict();
    case Kind::kNamespace:
      return &name_space() == &other.name_space();
    case Kind::kLoop:
      return loop() == other.loop();
    case Kind::kCallable:
      return &callable() == &other.callable();
  }
  return false;
}

// --- dicts ---------------------------------------------------------------------------------------

namespace {

// Up to here a look through all entries is as fast as a hash.
constexpr size_t kPlainEntriesMax = 8;

}  // namespace

const Object* DictBox::find(const Object& key) const {
  if (key.is_string()) return find(key.text().view());
  const std::string wanted = hash_key(key);
  if (!places.empty()) {
    const auto place = places.find(wanted);
    return place == places.end() ? nullptr : &entries[place->second].second;
  }
  for (const DictEntry& entry : entries)
    if (hash_key(entry.first) == wanted) return &entry.second;
  return nullptr;
}

const Object* DictBox::find(std::string_view key) const {
  if (!places.empty()) {
    const auto place = places.find(fmt::format("s{}", key));
    return place == places.end() ? nullptr : &entries[place->second].second;
  }
  for (const DictEntry& entry : entries)
    if (entry.first.is_string() && entry.first.text().view() == key) return &entry.second;
  return nullptr;
}

Object* NamespaceBox::find(std::string_view name) {
  for (auto& [key, value] : attributes)
    if (key == name) return &value;
  return nullptr;
}

void DictBuilder::set(Object key, Object value) {
  heap_.step(1 + (key.is_string() ? key.text().size() / 32 : 0));
  const auto [place, is_new] = places_.emplace(hash_key(key), entries_.size());
  if (is_new) {
    entries_.emplace_back(std::move(key), std::move(value));
  } else {
    entries_[place->second].second = std::move(value);
  }
}

void DictBuilder::set(std::string_view key, Object value) {
  set(Object::constant(std::string(key)), std::move(value));
}

Object DictBuilder::finish() {
  int nesting = 0;
  size_t bytes = sizeof(DictBox) + entries_.capacity() * sizeof(DictEntry);
  for (const auto& [key, value] : entries_)
    nesting = std::max({nesting, nesting_of(key), nesting_of(value)});
  check_nesting(heap_, nesting + 1);
  if (entries_.size() <= kPlainEntriesMax) {
    places_.clear();
  } else {
    for (const auto& [key, place] : places_) bytes += 64 + key.size();
  }
  auto box = std::shared_ptr<const DictBox>(
      new DictBox{std::move(entries_), nesting + 1, Charge(heap_, bytes), std::move(places_)});
  return Object(Object::Rep(std::move(box)));
}

// --- Python's view -------------------------------------------------------------------------------

namespace {

std::string_view list_type_name(Flavor flavor) {
  switch (flavor) {
    case Flavor::kList:
      return "list";
    case Flavor::kTuple:
      return "tuple";
    case Flavor::kRange:
      return "range";
    case Flavor::kIterator:
      return "generator";
    case Flavor::kDictKeys:
      return "dict_keys";
    case Flavor::kDictValues:
      return "dict_values";
    case Flavor::kDictItems:
      return "dict_items";
    case Flavor::kGroup:
      return "_GroupTuple";
  }
  return "list";
}

bool is_tuple(Flavor flavor) { return flavor == Flavor::kTuple || flavor == Flavor::kGroup; }

}  // namespace

std::string_view type_name(const Object& object) {
  switch (object.kind()) {
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return "str";
    case Kind::kList:
      return list_type_name(object.list().flavor);
    case Kind::kDict:
      return "dict";
    case Kind::kNamespace:
      return "Namespace";
    case Kind::kLoop:
      return "LoopContext";
    case Kind::kCallable:
      return "function";
  }
  return "object";
}

std::string described_type(const Object& object) {
  if (object.is_none()) return "None";
  return fmt::format("{} object", type_name(object));
}

bool is_truthy(const Object& object) {
  switch (object.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
      return object.as_bool();
    case Kind::kInt:
      return object.as_int() != 0;
    case Kind::kFloat:
      return object.as_real() != 0;
    case Kind::kString:
      return !object.text().empty();
    case Kind::kList:
      return object.list().flavor == Flavor::kIterator || !object.list().items.empty();
    case Kind::kDict:
      return !object.dict().entries.empty();
    case Kind::kNamespace:
    case Kind::kLoop:
    case Kind::kCallable:
      return true;
  }
  return false;
}

bool is_number(const Object& object) {
  return object.is(Kind::kBool) || object.is(Kind::kInt) || object.is(Kind::kFloat);
}

double to_double(const Object& number) {
  if (number.is(Kind::kFloat)) return number.as_real();
  if (number.is(Kind::kBool)) return number.as_bool() ? 1 : 0;
  return static_cast<double>(number.as_int());
}

int64_t to_index(const Object& object, std::string_view what) {
  if (object.is(Kind::kInt)) return object.as_int();
  if (object.is(Kind::kBool)) return object.as_bool() ? 1 : 0;
  if (object.is_undefined()) use_undefined(object);
  fault(fmt::format("{} must be an integer, not '{}'", what, type_name(object)));
}

std::string hash_key(const Object& object) {
  switch (object.kind()) {
    case Kind::kUndefined:
      return "u";
    case Kind::kNone:
      return "0";
    case Kind::kBool:
      return object.as_bool() ? "n1" : "n0";
    case Kind::kInt:
      return fmt::format("n{}", object.as_int());
    case Kind::kFloat: {
      const double value = object.as_real();
      // A whole float is the same key as the integer.
      if (value == std::floor(value) && std::abs(value) < 9e15)
        return fmt::format("n{}", static_cast<int64_t>(value));
      return fmt::format("f{}", value);
    }
    case Kind::kString:
      return "s" + object.text().bytes();
    case Kind::kList:
      if (is_tuple(object.list().flavor)) {
        std::string key = "t";
        for (const Object& item : object.list().items) {
          const std::string inner = hash_key(item);
          key += fmt::format("{}:{}", inner.size(), inner);
          if (key.size() > (size_t{1} << 20)) fault("a tuple of that size cannot be a key");
        }
        return key;
      }
      break;
    case Kind::kNamespace:
      return fmt::format("p{}", static_cast<const void*>(&object.name_space()));
    case Kind::kLoop:
      return fmt::format("p{}", static_cast<const void*>(object.loop().get()));
    case Kind::kCallable:
      return fmt::format("p{}", static_cast<const void*>(&object.callable()));
    default:
      break;
  }
  fault(fmt::format("unhashable type: '{}'", type_name(object)));
}

// --- comparison ----------------------------------------------------------------------------------

namespace {

std::optional<int> compare_numbers(const Object& a, const Object& b) {
  const auto sign = [](auto x, auto y) { return x < y ? -1 : x > y ? 1 : 0; };
  if (!a.is(Kind::kFloat) && !b.is(Kind::kFloat))
    return sign(to_index(a, "number"), to_index(b, "number"));
  const double x = to_double(a);
  const double y = to_double(b);
  if (std::isnan(x) || std::isnan(y)) return std::nullopt;
  return sign(x, y);
}

bool lists_equal(Heap& heap, const ListBox& a, const ListBox& b) {
  const bool same_kind = a.flavor == b.flavor || (is_tuple(a.flavor) && is_tuple(b.flavor));
  if (!same_kind || a.flavor == Flavor::kIterator || a.flavor == Flavor::kDictValues)
    return &a == &b;
  if (a.items.size() != b.items.size()) return false;
  for (size_t i = 0; i < a.items.size(); ++i)
    if (!equals(heap, a.items[i], b.items[i])) return false;
  return true;
}

bool dicts_equal(Heap& heap, const DictBox& a, const DictBox& b) {
  if (a.entries.size() != b.entries.size()) return false;
  for (const auto& [key, value] : a.entries) {
    const Object* other = b.find(key);
    if (other == nullptr || !equals(heap, value, *other)) return false;
  }
  return true;
}

}  // namespace

bool equals(Heap& heap, const Object& a, const Object& b) {
  heap.step();
  if (is_number(a) && is_number(b)) return compare_numbers(a, b) == 0;
  if (a.kind() != b.kind()) return false;
  if (a.is_string()) {
    heap.step(std::min(a.text().size(), b.text().size()) / 32);
    return a.text().bytes() == b.text().bytes();
  }
  if (a.is_same(b)) return true;
  if (a.is(Kind::kList)) return lists_equal(heap, a.list(), b.list());
  if (a.is(Kind::kDict)) return dicts_equal(heap, a.dict(), b.dict());
  return false;
}

std::optional<int> compare(Heap& heap, const Object& a, const Object& b, std::string_view op) {
  heap.step();
  if (is_number(a) && is_number(b)) return compare_numbers(a, b);
  if (a.is_undefined()) use_undefined(a);
  if (b.is_undefined()) use_undefined(b);
  if (a.is_string() && b.is_string()) {
    heap.step(std::min(a.text().size(), b.text().size()) / 32);
    // UTF-8 orders as its code points do.
    const int order = a.text().bytes().compare(b.text().bytes());
    return order < 0 ? -1 : order > 0 ? 1 : 0;
  }
  if (a.is(Kind::kList) && b.is(Kind::kList)) {
    const ListBox& x = a.list();
    const ListBox& y = b.list();
    if ((x.flavor == Flavor::kList && y.flavor == Flavor::kList) ||
        (is_tuple(x.flavor) && is_tuple(y.flavor))) {
      const size_t common = std::min(x.items.size(), y.items.size());
      for (size_t i = 0; i < common; ++i)
        if (!equals(heap, x.items[i], y.items[i])) return compare(heap, x.items[i], y.items[i], op);
      return x.items.size() < y.items.size() ? -1 : x.items.size() > y.items.size() ? 1 : 0;
    }
  }
  fault(fmt::format("'{}' not supported between instances of '{}' and '{}'", op, type_name(a),
                    type_name(b)));
}

bool contains(Heap& heap, const Object& container, const Object& item) {
  switch (container.kind()) {
    case Kind::kUndefined:
      return false;
    case Kind::kString:
      if (!item.is_string())
        fault(
            fmt::format("'in <string>' requires string as left operand, not {}", type_name(item)));
      heap.step(1 + container.text().size() / 32);
      return find_bytes(container.text().view(), item.text().view(), 0) != std::string::npos;
    case Kind::kDict:
      heap.step();
      return container.dict().find(item) != nullptr;
    case Kind::kList: {
      ListBox& list = container.list();
      if (list.flavor != Flavor::kIterator) {
        for (const Object& candidate : list.items)
          if (equals(heap, candidate, item)) return true;
        return false;
      }
      while (list.next < list.items.size())
        if (equals(heap, list.items[list.next++], item)) return true;
      return false;
    }
    default:
      fault(fmt::format("argument of type '{}' is not iterable", type_name(container)));
  }
}

std::optional<size_t> length(const Object& object) {
  switch (object.kind()) {
    case Kind::kUndefined:
      return 0;
    case Kind::kString:
      return code_point_count(object.text().view());
    case Kind::kDict:
      return object.dict().entries.size();
    case Kind::kList:
      if (object.list().flavor == Flavor::kIterator) return std::nullopt;
      return object.list().items.size();
    default:
      return std::nullopt;
  }
}

bool is_iterable(const Object& object) {
  return object.is_undefined() || object.is_string() || object.is(Kind::kList) ||
         object.is(Kind::kDict) || object.is(Kind::kLoop);
}

std::vector<Object> iterate(Heap& heap, const Object& object) {
  std::vector<Object> items;
  switch (object.kind()) {
    case Kind::kUndefined:
      break;
    case Kind::kString: {
      const Text& text = object.text();
      heap.step(text.size());
      heap.expect_room(text.size() * (sizeof(Object) + sizeof(StringBox)));
      for (size_t at = 0; at < text.size();) {
        const size_t next = at + decode_utf8(text.view(), at).size;
        items.push_back(heap.string(text.slice(at, next)));
        at = next;
      }
      break;
    }
    case Kind::kList: {
      ListBox& list = object.list();
      heap.step(1 + list.items.size() / 4);
      heap.expect_room(list.items.size() * sizeof(Object));
      if (list.flavor == Flavor::kIterator) {
        items.assign(list.items.begin() + static_cast<ptrdiff_t>(list.next), list.items.end());
        list.next = list.items.size();
      } else {
        items = list.items;
      }
      break;
    }
    case Kind::kDict:
      heap.step(1 + object.dict().entries.size() / 4);
      heap.expect_room(object.dict().entries.size() * sizeof(Object));
      for (const auto& [key, value] : object.dict().entries) items.push_back(key);
      break;
    default:
      fault(fmt::format("'{}' object is not iterable", type_name(object)));
  }
  return items;
}

// --- printing ------------------------------------------------------------------------------------

namespace {

void append_items(Heap& heap, const std::vector<Object>& items, Text& out) {
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out.append(", ");
    append_repr(heap, items[i], out);
  }
}

void append_list_repr(Heap& heap, const ListBox& list, Text& out) {
  switch (list.flavor) {
    case Flavor::kList:
      out.append("[");
      append_items(heap, list.items, out);
      out.append("]");
      break;
    case Flavor::kTuple:
    case Flavor::kGroup:
      out.append("(");
      append_items(heap, list.items, out);
      out.append(list.items.size() == 1 ? ",)" : ")");
      break;
    case Flavor::kRange:
      out.append(fmt::format("range({}, {}", list.range[0], list.range[1]));
      if (list.range[2] != 1) out.append(fmt::format(", {}", list.range[2]));
      out.append(")");
      break;
    case Flavor::kIterator:
      out.append("<generator object>");
      break;
    case Flavor::kDictKeys:
    case Flavor::kDictValues:
    case Flavor::kDictItems:
      out.append(list_type_name(list.flavor));
      out.append("([");
      append_items(heap, list.items, out);
      out.append("])");
      break;
  }
}

}  // namespace

void append_repr(Heap& heap, const Object& object, Text& out) {
  heap.step();
  heap.expect_room(out.size());
  switch (object.kind()) {
    case Kind::kUndefined:
      out.append("Undefined");
      break;
    case Kind::kNone:
      out.append("None");
      break;
    case Kind::kBool:
      out.append(object.as_bool() ? "True" : "False");
      break;
    case Kind::kInt:
      out.append(fmt::format("{}", object.as_int()));
      break;
    case Kind::kFloat:
      out.append(repr_float(object.as_real()));
      break;
    case Kind::kString:
      heap.step(object.text().size() / 32);
      append_quoted(object.text(), out);
      break;
    case Kind::kList:
      append_list_repr(heap, object.list(), out);
      break;
    case Kind::kDict: {
      out.append("{");
      bool is_first = true;
      for (const auto& [key, value] : object.dict().entries) {
        if (!is_first) out.append(", ");
        is_first = false;
        append_repr(heap, key, out);
        out.append(": ");
        append_repr(heap, value, out);
      }
      out.append("}");
      break;
    }
    case Kind::kNamespace:
      out.append("<Namespace>");
      break;
    case Kind::kLoop: {
      LoopBox& loop = *object.loop();
      out.append(fmt::format("<LoopContext {}/{}>", loop.index0() + 1, loop.length()));
      break;
    }
    case Kind::kCallable:
      out.append(fmt::format("<Macro '{}'>", object.callable().name));
      break;
  }
}

Text to_text(Heap& heap, const Object& object) {
  if (object.is_string()) return object.text();
  Text out;
  if (!object.is_undefined()) append_repr(heap, object, out);
  return out;
}

std::string to_plain(Heap& heap, const Object& object) { return to_text(heap, object).bytes(); }

// --- JSON ----------------------------------------------------------------------------------------

namespace {

class JsonWriter {
 public:
  JsonWriter(Heap& heap, const JsonStyle& style, Text& out)
      : heap_(heap), style_(style), out_(out) {}

  void write(const Object& object, size_t level) {
    heap_.step();
    heap_.expect_room(out_.size());
    switch (object.kind()) {
      case Kind::kNone:
        out_.append("null");
        return;
      case Kind::kBool:
        out_.append(object.as_bool() ? "true" : "false");
        return;
      case Kind::kInt:
        out_.append(fmt::format("{}", object.as_int()));
        return;
      case Kind::kFloat:
        out_.append(number(object.as_real()));
        return;
      case Kind::kString:
        heap_.step(object.text().size() / 32);
        append_json_string(object.text(), style_.ensure_ascii, out_);
        return;
      case Kind::kList:
        if (object.list().flavor == Flavor::kList || is_tuple(object.list().flavor)) {
          write_list(object.list(), level);
          return;
        }
        break;
      case Kind::kDict:
        write_dict(object.dict(), level);
        return;
      default:
        break;
    }
    fault(fmt::format("Object of type {} is not JSON serializable", type_name(object)));
  }

 private:
  static std::string number(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
    return repr_float(value);
  }

  void new_line(size_t level) {
    if (!style_.indent) return;
    heap_.expect_room(out_.size() + level * style_.indent->size());
    out_.append("\n");
    for (size_t i = 0; i < level; ++i) out_.append(*style_.indent);
  }

  void write_list(const ListBox& list, size_t level) {
    out_.append("[");
    for (size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) out_.append(style_.item_separator);
      new_line(level + 1);
      write(list.items[i], level + 1);
    }
    if (!list.items.empty()) new_line(level);
    out_.append("]");
  }

  void write_key(const Object& key) {
    switch (key.kind()) {
      case Kind::kString:
        append_json_string(key.text(), style_.ensure_ascii, out_);
        return;
      case Kind::kNone:
        out_.append("\"null\"");
        return;
      case Kind::kBool:
        out_.append(key.as_bool() ? "\"true\"" : "\"false\"");
        return;
      case Kind::kInt:
        out_.append(fmt::format("\"{}\"", key.as_int()));
        return;
      case Kind::kFloat:
        out_.append(fmt::format("\"{}\"", number(key.as_real())));
        return;
      default:
        fault(fmt::format("keys must be str, int, float, bool or None, not {}", type_name(key)));
    }
  }

  void write_dict(const DictBox& dict, size_t level) {
    std::vector<const DictEntry*> entries;
    for (const DictEntry& entry : dict.entries) entries.push_back(&entry);
    if (style_.sort_keys) {
      std::stable_sort(entries.begin(), entries.end(), [&](const auto* a, const auto* b) {
        return compare(heap_, a->first, b->first, "<") == -1;
      });
    }
    out_.append("{");
    bool is_first = true;
    for (const DictEntry* entry : entries) {
      if (!is_first) out_.append(style_.item_separator);
      is_first = false;
      new_line(level + 1);
      write_key(entry->first);
      out_.append(style_.key_separator);
      write(entry->second, level + 1);
    }
    if (!dict.entries.empty()) new_line(level);
    out_.append("}");
  }

  Heap& heap_;
  const JsonStyle& style_;
  Text& out_;
};

}  // namespace

void append_json(Heap& heap, const Object& object, const JsonStyle& style, Text& out) {
  JsonWriter(heap, style, out).write(object, 0);
}

}  // namespace minke::jinja
