// SPDX-License-Identifier: Apache-2.0
// The stack machine of pickles (pickletools.py of Python describes every opcode), without anything that it would call.
#include "athanor/checkpoint/pickle.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "athanor/checkpoint/safetensors_json.hpp"
#include "athanor/core/error.hpp"
#include "athanor/core/utf8.hpp"

namespace athanor {
namespace {

constexpr std::size_t most_values = 20'000'000;

std::string opcode_text(unsigned char opcode) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text = "opcode ";
  text.append({digits[opcode >> 4U], digits[opcode & 15U]});
  if (opcode > 32 && opcode < 127) text.append(" '").append(1, static_cast<char>(opcode)).append("'");
  return text;
}

const char* pickle_kind_name(PickleKind kind) {
  constexpr const char* names[] = {"None",         "a boolean", "a whole number", "a whole number", "a number",
                                   "a text",       "bytes",     "a list",         "a tuple",        "a set",
                                   "a dictionary", "a class",   "an object",      "a storage"};
  return names[static_cast<std::size_t>(kind)];
}

}  // namespace

class PickleReader {
 public:
  PickleReader(std::span<const std::byte> bytes, std::string_view where)
      : text_(reinterpret_cast<const char*>(bytes.data()), bytes.size()), where_(where) {
    for (const PickleKind kind : {PickleKind::none, PickleKind::boolean, PickleKind::boolean}) add(kind);
    pickle_.values_[true_id].number.integer = 1;
  }

  Pickle read() {
    constexpr unsigned char protocol_opcode = 0x80;
    if (text_.empty() || static_cast<unsigned char>(text_[0]) != protocol_opcode) {
      refuse("this is not a pickle of protocol 2 or later", text_.empty() ? "no bytes" : opcode_text(byte_at(0)));
    }
    for (;;) {
      opcode_place_ = place_;
      const unsigned char opcode = take<unsigned char>();
      if (opcode == '.') break;
      step(opcode);
      if (pickle_.values_.size() > most_values) refuse("a pickle has too many values", "more than 20000000");
    }
    pickle_.root_ = pop();
    if (!stack_.empty() || !marks_.empty()) refuse("a pickle leaves something over", "its end");
    pickle_.bytes_read_ = place_;
    return std::move(pickle_);
  }

 private:
  static constexpr PickleId none_id = 0;
  static constexpr PickleId false_id = 1;
  static constexpr PickleId true_id = 2;

  [[noreturn]] void refuse(std::string what, std::string got, std::string expected = {}, std::string todo = {}) const {
    throw Error({.what = std::move(what),
                 .where = std::string(where_) + ", byte " + std::to_string(opcode_place_),
                 .got = shortened(got),
                 .expected = std::move(expected),
                 .todo = todo.empty() ? "write or download the file again" : std::move(todo)});
  }

  [[nodiscard]] unsigned char byte_at(std::size_t place) const { return static_cast<unsigned char>(text_[place]); }

  std::string_view take_bytes(std::uint64_t count) {
    if (count > text_.size() - place_) {
      refuse("a pickle ends within an opcode", std::to_string(text_.size() - place_) + " bytes left",
             std::to_string(count) + " bytes");
    }
    const std::string_view taken = text_.substr(place_, count);
    place_ += count;
    return taken;
  }

  template <class T>
  T take() {
    T value{};
    std::memcpy(&value, take_bytes(sizeof(T)).data(), sizeof(T));
    return value;
  }

  std::string_view take_line() {
    const std::size_t end = text_.find('\n', place_);
    if (end == std::string_view::npos) refuse("a pickle ends within an opcode", "a name without an end");
    const std::string_view line = text_.substr(place_, end - place_);
    place_ = end + 1;
    return line;
  }

  PickleId add(PickleKind kind) {
    pickle_.values_.emplace_back().kind = kind;
    return static_cast<PickleId>(pickle_.values_.size() - 1);
  }

  void push(PickleId id) { stack_.push_back(id); }

  void push_integer(std::int64_t value) {
    const PickleId id = add(PickleKind::integer);
    pickle_.values_[id].number.integer = value;
    push(id);
  }

  void push_text(PickleKind kind, std::string_view text) {
    if (text.size() > UINT32_MAX) refuse("a text in a pickle is too long", std::to_string(text.size()) + " bytes");
    const PickleId id = add(kind);
    pickle_.values_[id].length = static_cast<std::uint32_t>(text.size());
    pickle_.values_[id].number.text = text.data();
    push(id);
  }

  void push_unicode(std::string_view text) {
    if (!is_utf8(text))
      refuse("a text in a pickle is not UTF-8", "a text of " + std::to_string(text.size()) + " bytes");
    push_text(PickleKind::text, text);
  }

  /// A text of Python 2 may be one or bytes.
  void push_old_text(std::string_view text) { push_text(is_utf8(text) ? PickleKind::text : PickleKind::bytes, text); }

  void push_long(std::string_view bytes) {
    if (bytes.size() > sizeof(std::int64_t)) {
      push_text(PickleKind::large_integer, bytes);
      return;
    }
    std::uint64_t value = !bytes.empty() && (static_cast<unsigned char>(bytes.back()) & 0x80U) != 0 ? UINT64_MAX : 0;
    std::memcpy(&value, bytes.data(), bytes.size());
    push_integer(static_cast<std::int64_t>(value));
  }

  PickleId add_list(PickleKind kind, std::vector<PickleId> children) {
    const PickleId id = add(kind);
    pickle_.values_[id].length = static_cast<std::uint32_t>(pickle_.lists_.size());
    pickle_.lists_.push_back(std::move(children));
    return id;
  }

  void push_list(PickleKind kind, std::vector<PickleId> children) { push(add_list(kind, std::move(children))); }

  std::vector<PickleId>& children_of(PickleId id) { return pickle_.lists_[pickle_.values_[id].length]; }

  /// A list may be recalled as often as there are bytes for it: without a limit, copies of it would outgrow any memory.
  std::vector<PickleId> copy_of(PickleId id) {
    copied_ += children_of(id).size();
    if (copied_ > text_.size())
      refuse("a pickle makes more of a list than it holds", std::to_string(copied_) + " items");
    return children_of(id);
  }

  [[nodiscard]] PickleKind kind(PickleId id) const { return pickle_.values_[id].kind; }

  [[nodiscard]] std::size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }

  PickleId top() {
    if (stack_.size() <= floor()) refuse("a pickle takes more than there is", opcode_text(byte_at(opcode_place_)));
    return stack_.back();
  }

  PickleId pop() {
    const PickleId id = top();
    stack_.pop_back();
    return id;
  }

  std::vector<PickleId> pop_to_mark() {
    if (marks_.empty()) refuse("a pickle takes more than there is", opcode_text(byte_at(opcode_place_)));
    std::vector<PickleId> taken(stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back()), stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return taken;
  }

  void push_tuple(std::size_t count) {
    std::vector<PickleId> items(count);
    for (std::size_t i = count; i-- > 0;) items[i] = pop();
    push_list(PickleKind::tuple, std::move(items));
  }

  void append(PickleKind wanted, std::vector<PickleId> items) {
    const PickleId target = top();
    if (kind(target) != wanted) {
      refuse("a pickle puts something into what can't hold it", pickle_kind_name(kind(target)),
             pickle_kind_name(wanted));
    }
    if (wanted == PickleKind::dictionary && items.size() % 2 != 0)
      refuse("a pickle has a key without a value", "an odd number");
    std::vector<PickleId>& children = children_of(target);
    children.insert(children.end(), items.begin(), items.end());
  }

  void remember(std::uint64_t index) {
    // Writers count from 0 or 1 on; a list needs no more memory than the pickle itself.
    if (index > memo_.size() + 1)
      refuse("a pickle remembers under a number that is out of order", std::to_string(index));
    const PickleId id = top();
    if (index >= memo_.size()) memo_.resize(index + 1, none_id);
    memo_[index] = id;
  }

  void recall(std::uint64_t index) {
    if (index >= memo_.size()) refuse("a pickle recalls what it did not remember", std::to_string(index));
    push(memo_[index]);
  }

  void push_global(std::string_view module, std::string_view name) {
    const std::string_view allowed = allowed_pickle_global(module, name);
    if (allowed.empty()) {
      refuse("a pickle names a class or function that is not allowed", shortened(module) + "." + shortened(name),
             "tensors, dictionaries, lists, numbers and texts",
             "write in Python what is needed of it, for example torch.save(model.state_dict(), path)");
    }
    push_text(PickleKind::global, allowed);
  }

  void push_stack_global() {
    const PickleId name = pop();
    const PickleId module = pop();
    if (kind(name) != PickleKind::text || kind(module) != PickleKind::text) {
      refuse("a pickle names a class by something else than a text", pickle_kind_name(kind(name)));
    }
    push_global(pickle_.text(module), pickle_.text(name));
  }

  /// A call that makes a container is carried out, because what follows fills the container.
  void call() {
    const PickleId arguments = pop();
    const PickleId function = pop();
    if (kind(function) != PickleKind::global || kind(arguments) != PickleKind::tuple) {
      refuse("a pickle calls what is no function", pickle_kind_name(kind(function)));
    }
    const std::string_view name = pickle_.text(function);
    const std::vector<PickleId> given = children_of(arguments);
    if (name == "collections.OrderedDict" || name == "collections.Counter") {
      push(make_dictionary(given));
    } else if (name == "builtins.set" || name == "builtins.frozenset") {
      if (given.size() > 1 ||
          (given.size() == 1 && kind(given[0]) != PickleKind::list && kind(given[0]) != PickleKind::tuple)) {
        refuse("a pickle makes a set of something else than a list", std::string(name));
      }
      push_list(PickleKind::set, given.empty() ? std::vector<PickleId>() : copy_of(given[0]));
    } else {
      push_list(PickleKind::call, {function, arguments});
    }
  }

  PickleId make_dictionary(const std::vector<PickleId>& given) {
    if (given.empty()) return add_list(PickleKind::dictionary, {});
    if (given.size() == 1 && kind(given[0]) == PickleKind::dictionary) {
      return add_list(PickleKind::dictionary, copy_of(given[0]));
    }
    if (given.size() != 1 || kind(given[0]) != PickleKind::list) {
      refuse("a pickle makes a dictionary of something else than pairs", std::to_string(given.size()) + " arguments");
    }
    std::vector<PickleId> children;
    for (const PickleId pair : copy_of(given[0])) {
      if ((kind(pair) != PickleKind::list && kind(pair) != PickleKind::tuple) || children_of(pair).size() != 2) {
        refuse("a pickle makes a dictionary of something else than pairs", pickle_kind_name(kind(pair)));
      }
      children.insert(children.end(), children_of(pair).begin(), children_of(pair).end());
    }
    return add_list(PickleKind::dictionary, std::move(children));
  }

  /// The attributes of a dictionary, such as the `_metadata` of a state dictionary, are left out.
  void build() {
    const PickleId state = pop();
    const PickleId object = top();
    if (kind(object) == PickleKind::dictionary) return;
    if (kind(object) != PickleKind::call || children_of(object).size() != 2) {
      refuse("a pickle sets the state of what has none", pickle_kind_name(kind(object)));
    }
    children_of(object).push_back(state);
  }

  void step(unsigned char opcode) {
    switch (opcode) {
      case 0x80: {  // PROTO
        const auto protocol = take<std::uint8_t>();
        if (protocol < 2 || protocol > 5) {
          refuse("a pickle has a protocol that is not known here", std::to_string(protocol), "2 to 5");
        }
        break;
      }
      case 0x95:  // FRAME
        if (const auto length = take<std::uint64_t>(); length > text_.size() - place_) {
          refuse("a pickle ends within a frame", std::to_string(text_.size() - place_) + " bytes left",
                 std::to_string(length) + " bytes");
        }
        break;
      case '(':
        marks_.push_back(stack_.size());
        break;
      case '0':
        pop();
        break;
      case '1':
        pop_to_mark();
        break;
      case '2':
        push(top());
        break;
      case 'N':
        push(none_id);
        break;
      case 0x88:
        push(true_id);
        break;
      case 0x89:
        push(false_id);
        break;
      case 'J':
        push_integer(take<std::int32_t>());
        break;
      case 'K':
        push_integer(take<std::uint8_t>());
        break;
      case 'M':
        push_integer(take<std::uint16_t>());
        break;
      case 0x8A:  // LONG1
        push_long(take_bytes(take<std::uint8_t>()));
        break;
      case 0x8B:  // LONG4
        push_long(take_bytes(take_length()));
        break;
      case 'G': {
        const PickleId id = add(PickleKind::real);
        pickle_.values_[id].number.real = std::bit_cast<double>(__builtin_bswap64(take<std::uint64_t>()));
        push(id);
        break;
      }
      case 'T':
        push_old_text(take_bytes(take_length()));
        break;
      case 'U':
        push_old_text(take_bytes(take<std::uint8_t>()));
        break;
      case 'X':
        push_unicode(take_bytes(take<std::uint32_t>()));
        break;
      case 0x8C:  // SHORT_BINUNICODE
        push_unicode(take_bytes(take<std::uint8_t>()));
        break;
      case 0x8D:  // BINUNICODE8
        push_unicode(take_bytes(take<std::uint64_t>()));
        break;
      case 'B':
        push_text(PickleKind::bytes, take_bytes(take<std::uint32_t>()));
        break;
      case 'C':
        push_text(PickleKind::bytes, take_bytes(take<std::uint8_t>()));
        break;
      case 0x8E:  // BINBYTES8
      case 0x96:  // BYTEARRAY8
        push_text(PickleKind::bytes, take_bytes(take<std::uint64_t>()));
        break;
      default:
        step_on_containers(opcode);
    }
  }

  void step_on_containers(unsigned char opcode) {
    switch (opcode) {
      case ']':
        push_list(PickleKind::list, {});
        break;
      case ')':
        push_list(PickleKind::tuple, {});
        break;
      case '}':
        push_list(PickleKind::dictionary, {});
        break;
      case 0x8F:  // EMPTY_SET
        push_list(PickleKind::set, {});
        break;
      case 'l':
        push_list(PickleKind::list, pop_to_mark());
        break;
      case 't':
        push_list(PickleKind::tuple, pop_to_mark());
        break;
      case 0x85:  // TUPLE1, TUPLE2, TUPLE3
      case 0x86:
      case 0x87:
        push_tuple(opcode - 0x84U);
        break;
      case 0x91:  // FROZENSET
        push_list(PickleKind::set, pop_to_mark());
        break;
      case 'd': {
        std::vector<PickleId> items = pop_to_mark();
        push_list(PickleKind::dictionary, {});
        append(PickleKind::dictionary, std::move(items));
        break;
      }
      case 'a': {
        const PickleId item = pop();
        append(PickleKind::list, {item});
        break;
      }
      case 'e':
        append(PickleKind::list, pop_to_mark());
        break;
      case 0x90:  // ADDITEMS
        append(PickleKind::set, pop_to_mark());
        break;
      case 's': {
        const PickleId value = pop();
        const PickleId key = pop();
        append(PickleKind::dictionary, {key, value});
        break;
      }
      case 'u':
        append(PickleKind::dictionary, pop_to_mark());
        break;
      default:
        step_on_objects(opcode);
    }
  }

  void step_on_objects(unsigned char opcode) {
    switch (opcode) {
      case 'q':
        remember(take<std::uint8_t>());
        break;
      case 'r':
        remember(take<std::uint32_t>());
        break;
      case 0x94:  // MEMOIZE
        remember(memo_.size());
        break;
      case 'h':
        recall(take<std::uint8_t>());
        break;
      case 'j':
        recall(take<std::uint32_t>());
        break;
      case 'c': {
        const std::string_view module = take_line();
        push_global(module, take_line());
        break;
      }
      case 0x93:
        push_stack_global();
        break;
      case 'R':
      case 0x81:  // NEWOBJ
        call();
        break;
      case 'b':
        build();
        break;
      case 'Q':
        push_list(PickleKind::persistent, {pop()});
        break;
      default:
        refuse("a pickle has an opcode that is not known here", opcode_text(opcode));
    }
  }

  std::uint64_t take_length() {
    const auto length = take<std::int32_t>();
    if (length < 0) refuse("a pickle has a text of negative length", std::to_string(length));
    return static_cast<std::uint64_t>(length);
  }

  std::string_view text_;
  std::string_view where_;
  std::size_t place_ = 0;
  std::size_t opcode_place_ = 0;
  std::size_t copied_ = 0;
  Pickle pickle_;
  std::vector<PickleId> stack_;
  std::vector<std::size_t> marks_;
  std::vector<PickleId> memo_;
};

Pickle parse_pickle(std::span<const std::byte> bytes, std::string_view where) {
  return PickleReader(bytes, where).read();
}

}  // namespace athanor
