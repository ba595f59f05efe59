#include "text/grammar_automaton.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "core/check.h"

namespace minke {
namespace {

constexpr size_t kNodesMax = 1'000'000;
constexpr size_t kEdgesMax = 2'000'000;

struct PlainPart {
  std::array<ByteRange, 4> bytes;
  size_t size;
};

// The UTF-8 of plain characters (see next_plain) and of nothing else.
constexpr PlainPart kPlain[] = {
    {{{{0x20, 0x21}}}, 1},
    {{{{0x23, 0x5B}}}, 1},
    {{{{0x5D, 0x7F}}}, 1},
    {{{{0xC2, 0xDF}, {0x80, 0xBF}}}, 2},
    {{{{0xE0, 0xE0}, {0xA0, 0xBF}, {0x80, 0xBF}}}, 3},
    {{{{0xE1, 0xEC}, {0x80, 0xBF}, {0x80, 0xBF}}}, 3},
    {{{{0xED, 0xED}, {0x80, 0x9F}, {0x80, 0xBF}}}, 3},
    {{{{0xEE, 0xEF}, {0x80, 0xBF}, {0x80, 0xBF}}}, 3},
    {{{{0xF0, 0xF0}, {0x90, 0xBF}, {0x80, 0xBF}, {0x80, 0xBF}}}, 4},
    {{{{0xF1, 0xF3}, {0x80, 0xBF}, {0x80, 0xBF}, {0x80, 0xBF}}}, 4},
    {{{{0xF4, 0xF4}, {0x80, 0x8F}, {0x80, 0xBF}, {0x80, 0xBF}}}, 4},
};

uint64_t hash_of(std::span<const uint64_t> values) {
  uint64_t hash = 0x9E3779B97F4A7C15u;
  for (const uint64_t value : values) {
    hash = (hash ^ value) * 0xFF51AFD7ED558CCDu;
    hash ^= hash >> 32;
  }
  return hash;
}

}  // namespace

// Writes expressions as nodes, last part first: each is told where to go on behind it.
class GrammarAutomaton::Compiler {
 public:
  Compiler(const Grammar& grammar, GrammarAutomaton& out) : grammar_(grammar), out_(out) {}

  // False when it became too large.
  bool run() {
    for (Grammar::Rule rule = 0; rule < grammar_.rules(); ++rule) {
      const Grammar::Expr expr = grammar_.definition(rule);
      tails_.clear();
      const int32_t end = add({.kind = NodeKind::kEnd});
      out_.rule_starts_.push_back(expr < 0 ? split({}) : compile(expr, end));
      if (is_too_large()) return false;
    }
    return true;
  }

 private:
  bool is_too_large() const {
    return out_.nodes_.size() > kNodesMax || out_.edges_.size() > kEdgesMax;
  }

  int32_t add(Node node) {
    out_.nodes_.push_back(node);
    return static_cast<int32_t>(out_.nodes_.size() - 1);
  }

  int32_t bytes(const std::vector<Edge>& edges) {
    const auto begin = static_cast<uint32_t>(out_.edges_.size());
    out_.edges_.insert(out_.edges_.end(), edges.begin(), edges.end());
    return add({.kind = NodeKind::kBytes,
                .begin = begin,
                .end = static_cast<uint32_t>(out_.edges_.size())});
  }

  void set_targets(Node& node, const std::vector<int32_t>& targets) {
    node.begin = static_cast<uint32_t>(out_.targets_.size());
    out_.targets_.insert(out_.targets_.end(), targets.begin(), targets.end());
    node.end = static_cast<uint32_t>(out_.targets_.size());
  }

  int32_t split(const std::vector<int32_t>& targets) {
    Node node{.kind = NodeKind::kSplit};
    set_targets(node, targets);
    return add(node);
  }

  // The node that reads the last bytes of a character: the same for all characters that end alike.
  int32_t tail(std::span<const ByteRange> ranges, int32_t next) {
    if (ranges.empty()) return next;
    uint64_t key = 0;
    for (const ByteRange& range : ranges) key = key << 16 | uint64_t{range.low} << 8 | range.high;
    const auto [place, is_new] = tails_.emplace(std::pair(key, next), 0);
    if (is_new) {
      const int32_t to = tail(ranges.subspan(1), next);
      place->second = bytes({{.low = ranges[0].low, .high = ranges[0].high, .to = to}});
    }
    return place->second;
  }

  int32_t characters(const CharSet& set, int32_t next) {
    std::vector<Edge> edges;
    for (const CharSet::Range& range : set.ranges()) {
      for (const std::vector<ByteRange>& sequence : utf8_sequences(range)) {
        const int32_t to = tail(std::span(sequence).subspan(1), next);
        edges.push_back({.low = sequence[0].low, .high = sequence[0].high, .to = to});
      }
    }
    return bytes(edges);
  }

  int32_t repeat(const Grammar::Node& node, int32_t next) {
    int32_t at = next;
    if (node.max == Grammar::kUnbounded) {
      at = split({});
      const int32_t again = compile(node.first, at);
      set_targets(out_.nodes_[static_cast<size_t>(at)], {again, next});
    } else {
      for (int i = node.min; i < node.max && !is_too_large(); ++i) {
        at = split({compile(node.first, at), next});
      }
    }
    for (int i = 0; i < node.min && !is_too_large(); ++i) at = compile(node.first, at);
    return at;
  }

  int32_t compile(Grammar::Expr expr, int32_t next) {
    const Grammar::Node& node = grammar_.node(expr);
    if (is_too_large()) return next;
    switch (node.kind) {
      case Grammar::Kind::kNothing:
        return split({});
      case Grammar::Kind::kLiteral: {
        const std::string& text = grammar_.text(node);
        for (size_t i = text.size(); i-- > 0;) {
          const auto byte = static_cast<uint8_t>(text[i]);
          next = bytes({{.low = byte, .high = byte, .to = next}});
        }
        return next;
      }
      case Grammar::Kind::kCharacters:
        return characters(grammar_.set(node), next);
      case Grammar::Kind::kSequence:
        for (size_t i = node.parts.size(); i-- > 0;) next = compile(node.parts[i], next);
        return next;
      case Grammar::Kind::kChoice: {
        std::vector<int32_t> targets;
        for (const Grammar::Expr part : node.parts) targets.push_back(compile(part, next));
        return split(targets);
      }
      case Grammar::Kind::kRepeat:
        return repeat(node, next);
      case Grammar::Kind::kReference:
        return add({.kind = NodeKind::kCall, .rule = node.first, .to = next});
    }
    return next;
  }

  const Grammar& grammar_;
  GrammarAutomaton& out_;
  std::map<std::pair<uint64_t, int32_t>, int32_t> tails_;
};

Result<GrammarAutomaton> GrammarAutomaton::create(const Grammar& grammar, Grammar::Rule root) {
  GrammarAutomaton out;
  out.root_ = root;
  if (!Compiler(grammar, out).run()) {
    return misuse(fmt::format(
        "the grammar takes more than {} states: ask for less, or for smaller counts", kNodesMax));
  }
  const std::vector<bool> living = out.reach_end(true);
  for (size_t i = 0; i < living.size(); ++i) out.nodes_[i].lives = living[i];
  if (!out.nodes_[static_cast<size_t>(out.rule_starts_[static_cast<size_t>(root)])].lives) {
    return misuse(
        fmt::format("no text can satisfy it: {} has no finite value", grammar.name(root)));
  }
  MINKE_TRY(out.check_recursion(grammar));
  out.find_classes();
  out.find_plain();
  out.begin_states();
  return out;
}

// The nodes from which the end of their rule can be reached; without reading, unless
// `through_bytes`. From the ends backwards, so that each node is looked at once for each way.
std::vector<bool> GrammarAutomaton::reach_end(bool through_bytes) const {
  const auto each_dependence = [&](auto visit) {  // visit(node, on what it depends)
    for (size_t at = 0; at < nodes_.size(); ++at) {
      const Node& node = nodes_[at];
      if (node.kind == NodeKind::kBytes && !through_bytes) continue;
      for (uint32_t i = node.begin; i < node.end; ++i) {
        visit(at, node.kind == NodeKind::kBytes ? edges_[i].to : targets_[i]);
      }
      if (node.kind == NodeKind::kCall) {
        visit(at, node.to);
        visit(at, rule_starts_[static_cast<size_t>(node.rule)]);
      }
    }
  };
  std::vector<size_t> first(nodes_.size() + 1, 0);  // of the dependents of each node
  each_dependence([&](size_t, int32_t on) { ++first[static_cast<size_t>(on) + 1]; });
  for (size_t i = 1; i < first.size(); ++i) first[i] += first[i - 1];
  std::vector<size_t> dependents(first.back());
  std::vector<size_t> next(first.begin(), first.end() - 1);
  each_dependence([&](size_t at, int32_t on) { dependents[next[static_cast<size_t>(on)]++] = at; });

  std::vector<bool> reached(nodes_.size(), false);
  std::vector<size_t> todo;
  const auto reach = [&](size_t at) {
    if (reached[at]) return;
    reached[at] = true;
    todo.push_back(at);
  };
  for (size_t at = 0; at < nodes_.size(); ++at) {
    if (nodes_[at].kind == NodeKind::kEnd) reach(at);
  }
  while (!todo.empty()) {
    const size_t at = todo.back();
    todo.pop_back();
    for (size_t i = first[at]; i < first[at + 1]; ++i) {
      const Node& node = nodes_[dependents[i]];
      const bool whole =
          node.kind != NodeKind::kCall ||
          (reached[static_cast<size_t>(node.to)] &&
           reached[static_cast<size_t>(rule_starts_[static_cast<size_t>(node.rule)])]);
      if (whole) reach(dependents[i]);
    }
  }
  return reached;
}

// Rules that call themselves before they consume a byte would be called for ever. Behind a call
// whose rule may be empty the caller goes on.
Status GrammarAutomaton::check_recursion(const Grammar& grammar) const {
  const size_t rules = rule_starts_.size();
  const std::vector<bool> may_be_empty = reach_end(false);
  std::vector<int32_t> seen(nodes_.size(), kNone);
  std::vector<std::vector<size_t>> calls(rules);
  std::vector<size_t> callers(rules, 0);
  std::vector<int32_t> todo;
  for (size_t rule = 0; rule < rules; ++rule) {
    todo = {rule_starts_[rule]};
    while (!todo.empty()) {
      const int32_t at = todo.back();
      todo.pop_back();
      const Node& node = nodes_[static_cast<size_t>(at)];
      const auto mark = static_cast<int32_t>(rule);
      if (!node.lives || std::exchange(seen[static_cast<size_t>(at)], mark) == mark) continue;
      if (node.kind == NodeKind::kSplit) {
        todo.insert(todo.end(), targets_.begin() + node.begin, targets_.begin() + node.end);
      } else if (node.kind == NodeKind::kCall) {
        const auto called = static_cast<size_t>(node.rule);
        calls[rule].push_back(called);
        ++callers[called];
        if (may_be_empty[static_cast<size_t>(rule_starts_[called])]) todo.push_back(node.to);
      }
    }
  }
  // What is left when rules without callers are taken away, again and again, is called in circles,
  // or from one: a circle is met by going from caller to caller.
  std::vector<size_t> free;
  for (size_t rule = 0; rule < rules; ++rule) {
    if (callers[rule] == 0) free.push_back(rule);
  }
  size_t left = rules;
  for (; !free.empty(); --left) {
    const size_t rule = free.back();
    free.pop_back();
    for (const size_t called : calls[rule]) {
      if (--callers[called] == 0) free.push_back(called);
    }
  }
  if (left == 0) return {};
  std::vector<size_t> caller(rules, 0);
  size_t at = 0;
  for (size_t rule = 0; rule < rules; ++rule) {
    if (callers[rule] == 0) continue;
    at = rule;
    for (const size_t called : calls[rule]) caller[called] = rule;
  }
  for (size_t i = 0; i < rules; ++i) at = caller[at];
  return misuse(fmt::format("{} refers to itself without anything in between",
                            grammar.name(static_cast<Grammar::Rule>(at))));
}

// Bytes that no edge tells apart are one class.
void GrammarAutomaton::find_classes() {
  std::array<bool, 257> begins{};
  begins[0] = true;
  const auto cut = [&](uint8_t low, uint8_t high) {
    begins[low] = true;
    begins[high + size_t{1}] = true;
  };
  for (const Edge& edge : edges_) cut(edge.low, edge.high);
  size_t count = 0;
  for (size_t byte = 0; byte < 256; ++byte) {
    count += begins[byte] ? 1 : 0;
    class_of_[byte] = static_cast<uint8_t>(count - 1);
  }
  classes_ = count;
}

// Where `rest` leads from a node when all characters that end so lead there; else kMixed.
int32_t GrammarAutomaton::plain_tail(int32_t at, std::span<const ByteRange> rest) const {
  if (rest.empty()) return at;
  const Node& node = nodes_[static_cast<size_t>(at)];
  if (node.kind != NodeKind::kBytes) return kMixed;
  int32_t to = kNone;
  int byte = rest[0].low;
  while (byte <= rest[0].high) {
    const Edge* found = nullptr;
    for (uint32_t i = node.begin; i < node.end; ++i) {
      if (edges_[i].low > byte || edges_[i].high < byte) continue;
      if (found != nullptr) return kMixed;  // more than one way
      found = &edges_[i];
    }
    if (found == nullptr) return kMixed;
    // Other edges that begin within this one would be a second way for some bytes.
    for (uint32_t i = node.begin; i < node.end; ++i) {
      if (&edges_[i] != found && edges_[i].low <= found->high && edges_[i].high >= byte) {
        return kMixed;
      }
    }
    const int32_t there = plain_tail(found->to, rest.subspan(1));
    if (there == kMixed || (to != kNone && to != there)) return kMixed;
    to = there;
    byte = found->high + 1;
  }
  return to;
}

int32_t GrammarAutomaton::plain_of(const Node& node) const {
  bool reads_plain = false;
  for (uint32_t i = node.begin; i < node.end && !reads_plain; ++i) {
    for (const PlainPart& part : kPlain) {
      reads_plain |= edges_[i].low <= part.bytes[0].high && edges_[i].high >= part.bytes[0].low;
    }
  }
  if (!reads_plain) return kNone;
  const int32_t at = static_cast<int32_t>(&node - nodes_.data());
  int32_t to = kNone;
  for (const PlainPart& part : kPlain) {
    const int32_t there = plain_tail(at, std::span(part.bytes).first(part.size));
    if (there == kMixed || (to != kNone && to != there)) return kMixed;
    to = there;
  }
  return to;
}

// Before edges are told in classes.
void GrammarAutomaton::find_plain() {
  for (Node& node : nodes_) {
    if (node.kind == NodeKind::kBytes) node.plain = plain_of(node);
  }
  for (Edge& edge : edges_) {
    edge.low = class_of_[edge.low];
    edge.high = class_of_[edge.high];
  }
}

void GrammarAutomaton::begin_states() {
  frames_.assign(2, {});
  frame_index_.clear();
  states_.assign(1, {});
  states_[0].plain = kDead;
  state_index_.clear();
  places_.clear();
  rows_.assign(classes_, kDead);
}

GrammarAutomaton::State GrammarAutomaton::start(Grammar::Rule rule) {
  kernel_ = {place(rule_starts_[static_cast<size_t>(rule)], 0)};
  return intern(kernel_);
}

void GrammarAutomaton::forget() {
  begin_states();
  ++epoch_;
}

size_t GrammarAutomaton::memory_bytes() const {
  constexpr size_t kIndexBytes = 48;  // an entry of an unordered_map
  return rows_.size() * sizeof(State) + places_.size() * sizeof(Place) +
         states_.size() * (sizeof(StateEntry) + kIndexBytes) +
         frames_.size() * (sizeof(Frame) + kIndexBytes);
}

// kNone when the stack would be too tall.
int32_t GrammarAutomaton::push(int32_t node, int32_t below) {
  const auto [entry, is_new] =
      frame_index_.emplace(place(node, below), static_cast<int32_t>(frames_.size()));
  if (is_new) {
    const int32_t height = frames_[static_cast<size_t>(below)].height + 1;
    if (height > kTallestStack) {
      frame_index_.erase(entry);
      return kNone;
    }
    frames_.push_back({.node = node, .below = below, .height = height});
  }
  return entry->second;
}

// From the places of a kernel on, everything that can be reached without reading: closed_ gets the
// places that read.
void GrammarAutomaton::close(std::span<const Place> kernel, StateEntry& entry) {
  closed_.clear();
  seen_.clear();
  open_.assign(kernel.begin(), kernel.end());
  const auto visit = [&](int32_t node, int32_t frame) { open_.push_back(place(node, frame)); };
  while (!open_.empty()) {
    const Place at = open_.back();
    open_.pop_back();
    const auto frame = static_cast<int32_t>(at & 0xFFFFFFFFu);
    const Node& node = nodes_[at >> 32];
    if (!node.lives) continue;
    ++work_;
    entry.height = std::max(entry.height, frames_[static_cast<size_t>(frame)].height);
    if (node.kind == NodeKind::kBytes) {
      closed_.push_back(at);
      continue;
    }
    const auto seen = std::ranges::lower_bound(seen_, at);
    if (seen != seen_.end() && *seen == at) continue;
    seen_.insert(seen, at);
    if (node.kind == NodeKind::kSplit) {
      for (uint32_t i = node.begin; i < node.end; ++i) visit(targets_[i], frame);
    } else if (node.kind == NodeKind::kCall) {
      // A call that is the last thing a rule does needs no way back to it.
      const bool is_last = nodes_[static_cast<size_t>(node.to)].kind == NodeKind::kEnd;
      const int32_t inner = is_last ? frame : push(node.to, frame);
      if (inner != kNone) visit(rule_starts_[static_cast<size_t>(node.rule)], inner);
    } else if (frame == 0) {
      entry.may_end = true;
    } else if (frame == kAnyCaller) {
      entry.leaves = true;
    } else {
      const Frame& top = frames_[static_cast<size_t>(frame)];
      visit(top.node, top.below);
    }
  }
  std::ranges::sort(closed_);
  closed_.erase(std::ranges::unique(closed_).begin(), closed_.end());
}

// The state made of these places, which are sorted here.
GrammarAutomaton::State GrammarAutomaton::intern(std::vector<Place>& kernel) {
  std::ranges::sort(kernel);
  kernel.erase(std::ranges::unique(kernel).begin(), kernel.end());
  if (kernel.empty()) return kDead;
  const uint64_t hash = hash_of(kernel);
  const auto [index, is_new] = state_index_.emplace(hash, kNone);
  for (State state = index->second; state != kNone;
       state = states_[static_cast<size_t>(state)].same_hash) {
    const StateEntry& known = states_[static_cast<size_t>(state)];
    const auto begin = places_.begin() + known.kernel;
    if (std::ranges::equal(kernel, std::ranges::subrange(begin, begin + known.kernel_size))) {
      return state;
    }
  }
  StateEntry entry{.hash = hash, .same_hash = index->second};
  close(kernel, entry);
  entry.kernel = static_cast<uint32_t>(places_.size());
  entry.kernel_size = static_cast<uint32_t>(kernel.size());
  places_.insert(places_.end(), kernel.begin(), kernel.end());
  entry.places = static_cast<uint32_t>(places_.size());
  entry.places_size = static_cast<uint32_t>(closed_.size());
  places_.insert(places_.end(), closed_.begin(), closed_.end());
  if (closed_.empty() && !entry.may_end && !entry.leaves) return kDead;  // a stack is too tall
  const auto state = static_cast<State>(states_.size());
  states_.push_back(entry);
  rows_.resize(rows_.size() + classes_, kUnknown);
  index->second = state;
  return state;
}

GrammarAutomaton::State GrammarAutomaton::find_next(State state, uint8_t byte_class) {
  const StateEntry& entry = states_[static_cast<size_t>(state)];
  kernel_.clear();
  for (uint32_t i = entry.places; i < entry.places + entry.places_size; ++i) {
    const Node& node = nodes_[places_[i] >> 32];
    for (uint32_t e = node.begin; e < node.end; ++e) {
      const Edge& edge = edges_[e];
      if (edge.low <= byte_class && byte_class <= edge.high &&
          nodes_[static_cast<size_t>(edge.to)].lives) {
        kernel_.push_back(place(edge.to, static_cast<int32_t>(places_[i] & 0xFFFFFFFFu)));
      }
    }
  }
  work_ += entry.places_size;
  const State found = intern(kernel_);
  rows_[static_cast<size_t>(state) * classes_ + byte_class] = found;
  return found;
}

GrammarAutomaton::State GrammarAutomaton::next_plain(State state) {
  const StateEntry entry = states_[static_cast<size_t>(state)];
  if (entry.plain != kNotAsked) return entry.plain;
  kernel_.clear();
  State found = kDead;
  for (uint32_t i = entry.places; i < entry.places + entry.places_size && found != kMixed; ++i) {
    const int32_t to = nodes_[places_[i] >> 32].plain;
    if (to == kMixed) found = kMixed;
    if (to >= 0 && nodes_[static_cast<size_t>(to)].lives) {
      kernel_.push_back(place(to, static_cast<int32_t>(places_[i] & 0xFFFFFFFFu)));
    }
  }
  work_ += entry.places_size;
  if (found != kMixed) found = intern(kernel_);
  states_[static_cast<size_t>(state)].plain = found;
  return found;
}

const std::vector<GrammarAutomaton::Inside>& GrammarAutomaton::insides(State state) {
  const auto frame_of = [](Place at) { return static_cast<int32_t>(at & 0xFFFFFFFFu); };
  const StateEntry entry = states_[static_cast<size_t>(state)];
  CHECK(!entry.leaves);
  by_frame_.assign(places_.begin() + entry.places,
                   places_.begin() + entry.places + entry.places_size);
  std::ranges::stable_sort(by_frame_, {}, frame_of);
  insides_.clear();
  for (size_t begin = 0; begin < by_frame_.size();) {
    const int32_t frame = frame_of(by_frame_[begin]);
    CHECK_NE(frame, kAnyCaller);
    kernel_.clear();
    size_t end = begin;
    for (; end < by_frame_.size() && frame_of(by_frame_[end]) == frame; ++end) {
      kernel_.push_back(place(static_cast<int32_t>(by_frame_[end] >> 32), kAnyCaller));
    }
    const Frame caller = frames_[static_cast<size_t>(frame)];
    Inside one{.inside = intern(kernel_), .height = caller.height};
    if (frame != 0) {
      kernel_ = {place(caller.node, caller.below)};
      one.behind = intern(kernel_);
    }
    insides_.push_back(one);
    begin = end;
  }
  return insides_;
}

bool GrammarAutomaton::matches(std::string_view text) {
  State state = start();
  for (const char c : text) {
    state = next(state, static_cast<uint8_t>(c));
    if (state == kDead) return false;
  }
  return may_end(state);
}

}  // namespace minke
