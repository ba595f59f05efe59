#include "text/jinja_interpreter.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/check.h"
#include "text/jinja_builtins.h"
#include "text/jinja_operators.h"

namespace minke::jinja {

// --- scopes and loops ----------------------------------------------------------------------------

Object* Scope::find_here(std::string_view name) {
  for (auto& [key, value] : variables)
    if (key == name) return &value;
  return nullptr;
}

void Scope::set(std::string_view name, Object value) {
  if (Object* found = find_here(name)) {
    *found = std::move(value);
  } else {
    variables.emplace_back(name, std::move(value));
  }
}

LoopBox::LoopBox(std::vector<Object> items, Test test, int depth0)
    : source_(std::move(items)), test_(std::move(test)), depth0_(depth0) {
  for (const Object& item : source_) {
    if (item.is(Kind::kList)) nesting_ = std::max(nesting_, item.list().nesting + 1);
    if (item.is(Kind::kDict)) nesting_ = std::max(nesting_, item.dict().nesting + 1);
  }
}

bool LoopBox::look_ahead() {
  const size_t wanted = position_ + 1;
  while (passed_.size() <= wanted) {
    if (taken_ >= source_.size()) return false;
    const Object& item = source_[taken_++];
    if (!test_ || test_(item)) passed_.push_back(item);
  }
  return true;
}

bool LoopBox::advance() {
  if (!look_ahead()) return false;
  ++position_;
  return true;
}

int64_t LoopBox::length() {
  while (taken_ < source_.size()) {
    const Object& item = source_[taken_++];
    if (!test_ || test_(item)) passed_.push_back(item);
  }
  return static_cast<int64_t>(passed_.size());
}

Object LoopBox::previous() const {
  if (position_ == 0) return Object::undefined("there is no previous item");
  return passed_.at(position_ - 1);
}

Object LoopBox::next() {
  if (!look_ahead()) return Object::undefined("there is no next item");
  return passed_.at(position_ + 1);
}

bool LoopBox::changed(Heap& heap, Object values) {
  if (has_changed_ && equals(heap, last_changed_, values)) return false;
  has_changed_ = true;
  last_changed_ = std::move(values);
  return true;
}

void LoopBox::close() {
  taken_ = source_.size();
  test_ = nullptr;
  recurse = nullptr;
}

// --- helpers of the interpreter ------------------------------------------------------------------

// Counts one level of recursion for as long as it lives.
class Interpreter::Deeper {
 public:
  explicit Deeper(Interpreter& interpreter) : interpreter_(interpreter) {
    if (++interpreter_.depth_ > interpreter_.heap_.limits().calls_max)
      fault("the template calls itself or nests too deep");
  }
  ~Deeper() { --interpreter_.depth_; }
  Deeper(const Deeper&) = delete;
  Deeper& operator=(const Deeper&) = delete;

 private:
  Interpreter& interpreter_;
};

// Sends what is printed into a text of its own for as long as it lives.
class Interpreter::Capture {
 public:
  explicit Capture(Interpreter& interpreter)
      : interpreter_(interpreter), outer_(std::exchange(interpreter.out_, &text_)) {}
  ~Capture() { interpreter_.out_ = outer_; }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;
  Text take() { return std::move(text_); }

 private:
  Interpreter& interpreter_;
  Text text_;
  Text* outer_;
};

Interpreter::Interpreter(Heap& heap, const std::tm& now)
    : heap_(heap), now_(now), root_(std::make_shared<Scope>()) {}

Interpreter::~Interpreter() {
  for (const auto& box : namespaces_) box->attributes.clear();
  for (const auto& scope : captured_scopes_) scope->variables.clear();
  root_->variables.clear();
}

Text Interpreter::run(const Program& program) {
  Text out;
  out_ = &out;
  try {
    execute(program.body, root_);
  } catch (Fault& fault) {
    if (fault.line == 0) fault.line = line_;
    throw;
  }
  out_ = nullptr;
  return out;
}

Object Interpreter::make_namespace(std::vector<std::pair<std::string, Object>> attributes) {
  heap_.take(sizeof(NamespaceBox) + 64);
  auto box = std::make_shared<NamespaceBox>();
  box->attributes = std::move(attributes);
  namespaces_.push_back(box);
  return Object(Object::Rep(std::move(box)));
}

Object Interpreter::make_callable(CallableBox box) {
  heap_.step();
  return Object(Object::Rep(std::make_shared<const CallableBox>(std::move(box))));
}

void Interpreter::print(const Object& object) {
  const Heap& heap = heap_;
  if (object.is_string()) {
    heap.expect_room(out_->size() + object.text().size());
    heap_.step(1 + object.text().size() / 32);
    out_->append(object.text());
  } else {
    out_->append(to_text(heap_, object));
  }
  if (out_->size() > heap.limits().output_bytes_max)
    over_limit(
        fmt::format("the template prints more than {} bytes", heap.limits().output_bytes_max));
}

// --- statements ----------------------------------------------------------------------------------

Interpreter::Flow Interpreter::execute(const Block& block, const ScopePtr& scope) {
  const Deeper deeper(*this);
  for (const StmtPtr& stmt : block) {
    line_ = stmt->line;
    heap_.step();
    const Flow flow = execute(*stmt, scope);
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Interpreter::Flow Interpreter::execute(const Stmt& stmt, const ScopePtr& scope) {
  switch (stmt.kind) {
    case StmtKind::kOutput:
      for (const ExprPtr& expr : stmt.exprs) {
        if (expr->kind == ExprKind::kConst) {
          print(expr->constant);
        } else {
          line_ = expr->line;
          print(evaluate(*expr, scope));
        }
      }
      return Flow::kNext;
    case StmtKind::kFor:
      return execute_for(stmt, evaluate(*stmt.value, scope), scope, 0);
    case StmtKind::kIf:
      return execute_if(stmt, scope);
    case StmtKind::kSet:
      assign(*stmt.targets[0], evaluate(*stmt.value, scope), scope);
      return Flow::kNext;
    case StmtKind::kSetBlock:
    case StmtKind::kFilterBlock:
      return execute_captured(stmt, scope);
    case StmtKind::kWith:
      return execute_with(stmt, scope);
    case StmtKind::kMacro:
      execute_macro(stmt, scope);
      return Flow::kNext;
    case StmtKind::kCallBlock:
      execute_call_block(stmt, scope);
      return Flow::kNext;
    case StmtKind::kGeneration: {
      auto inner = std::make_shared<Scope>();
      inner->parent = scope;
      return execute(stmt.body, inner);
    }
    case StmtKind::kBreak:
      return Flow::kBreak;
    case StmtKind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNext;
}

Interpreter::Flow Interpreter::execute_if(const Stmt& stmt, const ScopePtr& scope) {
  for (const Branch& branch : stmt.branches)
    if (!branch.test || is_truthy(evaluate(*branch.test, scope)))
      return execute(branch.body, scope);
  return Flow::kNext;
}

Interpreter::Flow Interpreter::execute_for(const Stmt& stmt, const Object& iterable,
                                           const ScopePtr& scope, int depth0) {
  const Deeper deeper(*this);
  LoopBox::Test test;
  if (stmt.test) {
    test = [this, &stmt, scope](const Object& item) {
      auto inner = std::make_shared<Scope>();
      inner->parent = scope;
      assign(*stmt.targets[0], item, inner);
      return is_truthy(evaluate(*stmt.test, inner));
    };
  }
  const auto loop = std::make_shared<LoopBox>(iterate(heap_, iterable), std::move(test), depth0);
  if (stmt.is_recursive) {
    loop->recurse = [this, &stmt, scope](const Object& items, int depth) {
      Capture capture(*this);
      execute_for(stmt, items, scope, depth);
      return heap_.string(capture.take());
    };
  }
  // The loop object may outlive the loop in a variable; what it could call may not.
  struct Closer {
    LoopBox& box;
    ~Closer() { box.close(); }
  } const closer{*loop};

  const Object loop_object{Object::Rep(loop)};
  auto inner = std::make_shared<Scope>();
  bool has_run = false;
  while (loop->advance()) {
    heap_.step();
    if (inner.use_count() > 1) inner = std::make_shared<Scope>();  // a macro kept the last one
    inner->parent = scope;
    inner->variables.clear();
    inner->variables.emplace_back("loop", loop_object);
    assign(*stmt.targets[0], loop->current(), inner);
    const Flow flow = execute(stmt.body, inner);
    if (flow == Flow::kBreak) break;
    // As in Jinja, only a body that came to its end keeps the else block from running.
    has_run |= flow == Flow::kNext;
  }
  if (has_run || stmt.otherwise.empty()) return Flow::kNext;
  auto otherwise = std::make_shared<Scope>();
  otherwise->parent = scope;
  return execute(stmt.otherwise, otherwise);
}

Interpreter::Flow Interpreter::execute_captured(const Stmt& stmt, const ScopePtr& scope) {
  auto inner = std::make_shared<Scope>();
  inner->parent = scope;
  Text printed;
  {
    Capture capture(*this);
    const Flow flow = execute(stmt.body, inner);
    if (flow != Flow::kNext) return flow;
    printed = capture.take();
  }
  Object value = heap_.string(std::move(printed));
  if (stmt.value) {
    auto filtered = std::make_shared<Scope>();
    filtered->parent = scope;
    filtered->set(kCaptured, std::move(value));
    value = evaluate(*stmt.value, filtered);
  }
  if (stmt.kind == StmtKind::kSetBlock) {
    assign(*stmt.targets[0], std::move(value), scope);
  } else {
    print(value);
  }
  return Flow::kNext;
}

Interpreter::Flow Interpreter::execute_with(const Stmt& stmt, const ScopePtr& scope) {
  auto inner = std::make_shared<Scope>();
  inner->parent = scope;
  for (size_t i = 0; i < stmt.targets.size(); ++i)
    assign(*stmt.targets[i], evaluate(*stmt.exprs[i], scope), inner);
  return execute(stmt.body, inner);
}

Object Interpreter::closure(const MacroDef& macro, const ScopePtr& scope) {
  if (captured_scopes_.empty() || captured_scopes_.back() != scope) {
    heap_.take(sizeof(Scope) + sizeof(ScopePtr));
    captured_scopes_.push_back(scope);
  }
  return make_callable({macro.name, nullptr, Object(), &macro, scope});
}

void Interpreter::execute_macro(const Stmt& stmt, const ScopePtr& scope) {
  scope->set(stmt.macro.name, closure(stmt.macro, scope));
}

void Interpreter::execute_call_block(const Stmt& stmt, const ScopePtr& scope) {
  const Expr& call_expr = *stmt.value;
  const Object callee = evaluate(*call_expr.kids[0], scope);
  Args args = evaluate_args(call_expr.args, scope);
  args.named.emplace_back("caller", closure(stmt.macro, scope));
  print(call(callee, args));
}

void Interpreter::assign(const Expr& target, Object value, const ScopePtr& scope) {
  heap_.step(1 + scope->variables.size() / 8);
  if (target.kind == ExprKind::kName) {
    scope->set(target.name, std::move(value));
    return;
  }
  if (target.kind == ExprKind::kNamespaceTarget) {
    Expr name;
    name.kind = ExprKind::kName;
    name.line = target.line;
    name.name = target.name;
    const Object object = evaluate_name(name, scope);
    if (!object.is(Kind::kNamespace)) fault("cannot assign attribute on non-namespace object");
    if (target.attribute.starts_with('_'))
      fault(fmt::format("a namespace attribute may not start with an underscore: '{}'",
                        target.attribute));
    NamespaceBox& box = object.name_space();
    heap_.step(box.attributes.size() / 8);
    if (Object* found = box.find(target.attribute)) {
      *found = std::move(value);
    } else {
      heap_.take(sizeof(Object) + 64);
      box.attributes.emplace_back(target.attribute, std::move(value));
    }
    return;
  }
  const std::vector<Object> items = iterate(heap_, value);
  if (items.size() != target.kids.size())
    fault(fmt::format("{} values to unpack (expected {}, got {})",
                      items.size() < target.kids.size() ? "not enough" : "too many",
                      target.kids.size(), items.size()));
  for (size_t i = 0; i < items.size(); ++i) assign(*target.kids[i], items[i], scope);
}

// --- calls ---------------------------------------------------------------------------------------

namespace {

// The named argument of that name, taken out of the arguments.
std::optional<Object> take_named(Args& args, std::string_view name) {
  for (auto it = args.named.begin(); it != args.named.end(); ++it) {
    if (it->first != name) continue;
    Object value = std::move(it->second);
    args.named.erase(it);
    return value;
  }
  return std::nullopt;
}

}  // namespace

void Interpreter::bind_parameters(const CallableBox& box, Args& args, const ScopePtr& scope) {
  const MacroDef& macro = *box.macro;
  const size_t count = macro.parameters.size();
  const size_t given = std::min(args.positional.size(), count);
  bool has_caller_parameter = false;
  for (size_t i = 0; i < count; ++i) {
    const std::string& name = macro.parameters[i];
    has_caller_parameter |= name == "caller";
    if (i < given) {
      scope->set(name, args.positional[i]);
    } else if (auto value = take_named(args, name)) {
      scope->set(name, std::move(*value));
    } else if (i + macro.defaults.size() >= count) {
      const size_t place = i + macro.defaults.size() - count;
      scope->set(name, evaluate(*macro.defaults[place], scope));
    } else {
      scope->set(name, Object::undefined(fmt::format("parameter '{}' was not provided", name)));
    }
  }
  if (macro.uses_caller && !has_caller_parameter) {
    auto caller = take_named(args, "caller");
    scope->set("caller", caller ? std::move(*caller) : Object::undefined("No caller defined"));
  }
  if (macro.uses_kwargs) {
    DictBuilder named(heap_);
    for (auto& [name, value] : args.named) named.set(name, std::move(value));
    scope->set("kwargs", named.finish());
  } else if (!args.named.empty()) {
    fault(fmt::format("macro '{}' takes no keyword argument '{}'", macro.name,
                      args.named.front().first));
  }
  if (macro.uses_varargs) {
    std::vector<Object> rest(args.positional.begin() + static_cast<ptrdiff_t>(given),
                             args.positional.end());
    scope->set("varargs", heap_.tuple(std::move(rest)));
  } else if (args.positional.size() > count) {
    fault(fmt::format("macro '{}' takes not more than {} argument(s)", macro.name, count));
  }
}

Object Interpreter::call_macro(const CallableBox& box, Args& args) {
  const Deeper deeper(*this);
  auto scope = std::make_shared<Scope>();
  scope->parent = box.scope;
  bind_parameters(box, args, scope);
  Capture capture(*this);
  execute(box.macro->body, scope);
  return heap_.string(capture.take());
}

Object Interpreter::call_loop(const Object& object, Args& args) {
  LoopBox& loop = *object.loop();
  if (!loop.recurse) fault("The loop must have the 'recursive' marker to be called recursively.");
  if (args.positional.size() != 1 || !args.named.empty()) fault("loop() takes one argument");
  const auto recurse = loop.recurse;
  return recurse(args.positional[0], loop.depth0() + 1);
}

Object Interpreter::call(const Object& callee, Args& args) {
  heap_.step();
  if (callee.is(Kind::kCallable)) {
    // Held, because the callee may be assigned over while it runs.
    const Object held = callee;
    const CallableBox& box = held.callable();
    if (box.macro != nullptr) return call_macro(box, args);
    return box.function(*this, box.self, args);
  }
  if (callee.is(Kind::kLoop)) return call_loop(callee, args);
  if (callee.is_undefined()) use_undefined(callee);
  fault(fmt::format("'{}' object is not callable", type_name(callee)));
}

Object Interpreter::apply_filter(std::string_view name, const Object& value, Args& args) {
  const Builtin filter = find_filter(name);
  if (filter == nullptr) fault(fmt::format("there is no filter named '{}'", name));
  return filter(*this, value, args);
}

bool Interpreter::apply_test(std::string_view name, const Object& value, Args& args) {
  const Predicate test = find_test(name);
  if (test == nullptr) fault(fmt::format("there is no test named '{}'", name));
  return test(*this, value, args);
}

// --- attributes and items ------------------------------------------------------------------------

namespace {

Object loop_attribute(Interpreter& interpreter, const Object& object, std::string_view name) {
  LoopBox& loop = *object.loop();
  const auto method = [&](Builtin function) {
    return interpreter.make_callable({std::string(name), function, object, nullptr, nullptr});
  };
  if (name == "index") return Object::integer(loop.index0() + 1);
  if (name == "index0") return Object::integer(loop.index0());
  if (name == "first") return Object::boolean(loop.index0() == 0);
  if (name == "last") return Object::boolean(loop.is_last());
  if (name == "length") return Object::integer(loop.length());
  if (name == "revindex") return Object::integer(loop.length() - loop.index0());
  if (name == "revindex0") return Object::integer(loop.length() - loop.index0() - 1);
  if (name == "previtem") return loop.previous();
  if (name == "nextitem") return loop.next();
  if (name == "depth") return Object::integer(loop.depth0() + 1);
  if (name == "depth0") return Object::integer(loop.depth0());
  if (name == "cycle") {
    return method([](Interpreter&, const Object& self, Args& args) -> Object {
      if (args.positional.empty()) fault("no items for cycling given");
      const auto index = static_cast<size_t>(self.loop()->index0());
      return args.positional[index % args.positional.size()];
    });
  }
  if (name == "changed") {
    return method([](Interpreter& self_interpreter, const Object& self, Args& args) -> Object {
      Heap& heap = self_interpreter.heap();
      return Object::boolean(self.loop()->changed(heap, heap.tuple(args.positional)));
    });
  }
  return Object();
}

// A method or property of the object, or undefined without a reason.
Object own_attribute(Interpreter& interpreter, const Object& object, std::string_view name) {
  Builtin method = nullptr;
  switch (object.kind()) {
    case Kind::kString:
      method = find_string_method(name);
      break;
    case Kind::kDict:
      method = find_dict_method(name);
      break;
    case Kind::kList:
      if (object.list().flavor == Flavor::kGroup && name == "grouper")
        return object.list().items[0];
      if (object.list().flavor == Flavor::kGroup && name == "list") return object.list().items[1];
      if (object.list().flavor == Flavor::kList || object.list().flavor == Flavor::kTuple)
        method = find_list_method(name);
      break;
    case Kind::kNamespace:
      if (Object* found = object.name_space().find(name)) return *found;
      break;
    case Kind::kLoop:
      return loop_attribute(interpreter, object, name);
    case Kind::kCallable:
      if (name == "name" && object.callable().macro != nullptr)
        return interpreter.heap().string(object.callable().name);
      break;
    default:
      break;
  }
  if (method == nullptr) {
    if (is_forbidden_method(object.kind(), name))
      return Object::undefined(fmt::format("access to attribute '{}' of '{}' object is unsafe.",
                                           name, type_name(object)));
    return Object();
  }
  return interpreter.make_callable({std::string(name), method, object, nullptr, nullptr});
}

Object no_attribute(const Object& object, std::string_view name) {
  return Object::undefined(fmt::format("'{}' has no attribute '{}'", described_type(object), name));
}

bool has_reason(const Object& undefined) {
  return std::get<Undefined>(undefined.rep()).why != nullptr;
}

}  // namespace

Object Interpreter::attribute(const Object& object, std::string_view name) {
  heap_.step();
  if (object.is_undefined()) use_undefined(object);
  Object found = own_attribute(*this, object, name);
  if (!found.is_undefined() || has_reason(found)) return found;
  if (object.is(Kind::kNamespace)) {
    // An attribute may hold an undefined value of its own.
    if (object.name_space().find(name) != nullptr) return found;
  }
  if (object.is(Kind::kDict))
    if (const Object* entry = object.dict().find(name)) return *entry;
  return no_attribute(object, name);
}

Object Interpreter::item(const Object& object, const Object& key) {
  heap_.step();
  if (object.is_undefined()) use_undefined(object);
  if (object.is(Kind::kDict)) {
    const bool is_hashable =
        !key.is(Kind::kDict) && !(key.is(Kind::kList) && key.list().flavor != Flavor::kTuple);
    if (is_hashable)
      if (const Object* entry = object.dict().find(key)) return *entry;
  }
  if (key.is_string()) {
    Object found = own_attribute(*this, object, key.text().view());
    if (!found.is_undefined() || has_reason(found)) return found;
    return no_attribute(object, key.text().view());
  }
  const bool is_index = key.is(Kind::kInt) || key.is(Kind::kBool);
  if (is_index && object.is_string()) {
    // One code point, found without a copy of the rest.
    const Object start = Object::integer(to_index(key, "index"));
    const int64_t index = start.as_int();
    const Object stop = index == -1 ? Object::none() : Object::integer(index + (index < INT64_MAX));
    Object found = slice(heap_, object, start, stop, Object::none());
    if (!found.text().empty()) return found;
  } else if (is_index && object.is(Kind::kList)) {
    const ListBox& list = object.list();
    const bool is_sequence = list.flavor == Flavor::kList || list.flavor == Flavor::kTuple ||
                             list.flavor == Flavor::kRange || list.flavor == Flavor::kGroup;
    const auto size = static_cast<int64_t>(list.items.size());
    int64_t index = to_index(key, "index");
    if (index < 0 && index >= -size) index += size;
    if (is_sequence && index >= 0 && index < size) return list.items[static_cast<size_t>(index)];
  }
  Text shown;
  append_repr(heap_, key, shown);
  return Object::undefined(
      fmt::format("{} has no element {}", described_type(object), shown.bytes()));
}

// --- expressions ---------------------------------------------------------------------------------

Object Interpreter::evaluate(const Expr& expr, const ScopePtr& scope) {
  if (expr.kind == ExprKind::kConst) return expr.constant;
  if (expr.kind == ExprKind::kName) return evaluate_name(expr, scope);
  const Deeper deeper(*this);
  heap_.step();
  line_ = expr.line;
  return evaluate_node(expr, scope);
}

Object Interpreter::evaluate_node(const Expr& expr, const ScopePtr& scope) {
  switch (expr.kind) {
    case ExprKind::kConst:
      return expr.constant;
    case ExprKind::kName:
      return evaluate_name(expr, scope);
    case ExprKind::kList:
      return heap_.list(evaluate_kids(expr, scope));
    case ExprKind::kTuple:
      return heap_.tuple(evaluate_kids(expr, scope));
    case ExprKind::kDict:
      return evaluate_dict(expr, scope);
    case ExprKind::kNot:
      return Object::boolean(!is_truthy(evaluate(*expr.kids[0], scope)));
    case ExprKind::kNegate:
      return negate(evaluate(*expr.kids[0], scope));
    case ExprKind::kPlus:
      return plus(evaluate(*expr.kids[0], scope));
    case ExprKind::kBinary: {
      const Object left = evaluate(*expr.kids[0], scope);
      const Object right = evaluate(*expr.kids[1], scope);
      return apply_binary(heap_, expr.op, left, right);
    }
    case ExprKind::kAnd: {
      Object left = evaluate(*expr.kids[0], scope);
      return is_truthy(left) ? evaluate(*expr.kids[1], scope) : left;
    }
    case ExprKind::kOr: {
      Object left = evaluate(*expr.kids[0], scope);
      return is_truthy(left) ? left : evaluate(*expr.kids[1], scope);
    }
    case ExprKind::kCompare:
      return evaluate_compare(expr, scope);
    case ExprKind::kConcat:
      return evaluate_concat(expr, scope);
    case ExprKind::kCondition:
      return evaluate_condition(expr, scope);
    case ExprKind::kAttribute:
      return attribute(evaluate(*expr.kids[0], scope), expr.name);
    case ExprKind::kItem: {
      const Object object = evaluate(*expr.kids[0], scope);
      return item(object, evaluate(*expr.kids[1], scope));
    }
    case ExprKind::kSlice:
      return evaluate_slice(expr, scope);
    case ExprKind::kCall:
      return evaluate_call(expr, scope);
    case ExprKind::kFilter: {
      const Object value = evaluate(*expr.kids[0], scope);
      Args args = evaluate_args(expr.args, scope);
      return apply_filter(expr.name, value, args);
    }
    case ExprKind::kTest: {
      const Object value = evaluate(*expr.kids[0], scope);
      Args args = evaluate_args(expr.args, scope);
      return Object::boolean(apply_test(expr.name, value, args));
    }
    case ExprKind::kNamespaceTarget:
      break;
  }
  CHECK(false && "an assignment target was evaluated");
  return Object();
}

Object Interpreter::evaluate_name(const Expr& expr, const ScopePtr& scope) {
  for (Scope* at = scope.get(); at != nullptr; at = at->parent.get()) {
    heap_.step(1 + at->variables.size() / 8);
    if (Object* found = at->find_here(expr.name)) return *found;
  }
  if (const Builtin function = find_global(expr.name))
    return make_callable({expr.name, function, Object(), nullptr, nullptr});
  return Object::undefined(fmt::format("'{}' is undefined", expr.name));
}

Object Interpreter::evaluate_compare(const Expr& expr, const ScopePtr& scope) {
  Object left = evaluate(*expr.kids[0], scope);
  for (size_t i = 0; i < expr.ops.size(); ++i) {
    Object right = evaluate(*expr.kids[i + 1], scope);
    if (!apply_comparison(heap_, expr.ops[i], left, right)) return Object::boolean(false);
    left = std::move(right);
  }
  return Object::boolean(true);
}

Object Interpreter::evaluate_concat(const Expr& expr, const ScopePtr& scope) {
  Text out;
  for (const ExprPtr& kid : expr.kids) {
    out.append(to_text(heap_, evaluate(*kid, scope)));
    heap_.expect_room(out.size());
  }
  return heap_.string(std::move(out));
}

Object Interpreter::evaluate_condition(const Expr& expr, const ScopePtr& scope) {
  if (is_truthy(evaluate(*expr.kids[0], scope))) return evaluate(*expr.kids[1], scope);
  if (expr.kids[2]) return evaluate(*expr.kids[2], scope);
  return Object::undefined(
      fmt::format("the inline if-expression on line {} evaluated to false and no else section "
                  "was defined.",
                  expr.line));
}

Object Interpreter::evaluate_call(const Expr& expr, const ScopePtr& scope) {
  const Object callee = evaluate(*expr.kids[0], scope);
  Args args = evaluate_args(expr.args, scope);
  line_ = expr.line;
  return call(callee, args);
}

Object Interpreter::evaluate_slice(const Expr& expr, const ScopePtr& scope) {
  const Object object = evaluate(*expr.kids[0], scope);
  const auto part = [&](size_t i) {
    return expr.kids[i] ? evaluate(*expr.kids[i], scope) : Object::none();
  };
  const Object start = part(1);
  const Object stop = part(2);
  const Object step = part(3);
  return slice(heap_, object, start, stop, step);
}

Object Interpreter::evaluate_dict(const Expr& expr, const ScopePtr& scope) {
  DictBuilder dict(heap_);
  for (size_t i = 0; i + 1 < expr.kids.size(); i += 2) {
    Object key = evaluate(*expr.kids[i], scope);
    Object value = evaluate(*expr.kids[i + 1], scope);
    dict.set(std::move(key), std::move(value));
  }
  return dict.finish();
}

std::vector<Object> Interpreter::evaluate_kids(const Expr& expr, const ScopePtr& scope) {
  std::vector<Object> items;
  items.reserve(expr.kids.size());
  for (const ExprPtr& kid : expr.kids) items.push_back(evaluate(*kid, scope));
  return items;
}

Args Interpreter::evaluate_args(const CallArgs& args, const ScopePtr& scope) {
  Args out;
  for (const ExprPtr& arg : args.positional) out.positional.push_back(evaluate(*arg, scope));
  if (args.star)
    for (Object& extra : iterate(heap_, evaluate(*args.star, scope)))
      out.positional.push_back(std::move(extra));
  for (const auto& [name, arg] : args.named) {
    for (const auto& [other, value] : out.named)
      if (other == name) fault(fmt::format("keyword argument repeated: {}", name));
    out.named.emplace_back(name, evaluate(*arg, scope));
  }
  if (args.double_star) {
    const Object extra = evaluate(*args.double_star, scope);
    if (!extra.is(Kind::kDict))
      fault(fmt::format("argument after ** must be a mapping, not {}", type_name(extra)));
    for (const auto& [key, value] : extra.dict().entries) {
      if (!key.is_string()) fault("keywords must be strings");
      heap_.step(1 + out.named.size() / 8);
      for (const auto& [other, given] : out.named)
        if (other == key.text().view())
          fault(fmt::format("got multiple values for keyword argument '{}'", other));
      out.named.emplace_back(key.text().bytes(), value);
    }
  }
  return out;
}

}  // namespace minke::jinja
