// SPDX-License-Identifier: Apache-2.0
// Python's pickles as plain values. Nothing is called, imported or executed. No LibTorch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace athanor {

enum class PickleKind : std::uint8_t {
  none,
  boolean,
  integer,        ///< Fits 64 bits with a sign.
  large_integer,  ///< Does not: `text` is its bytes, little-endian, in two's complement.
  real,
  text,        ///< UTF-8.
  bytes,       ///< `text` is its bytes.
  list,        ///< `children` are its items, as those of a tuple and a set.
  tuple,       ///<
  set,         ///<
  dictionary,  ///< `children` are key, value, key, value. OrderedDict and Counter are dictionaries, too.
  global,      ///< A class or function, named by `text`; one of `allowed_pickle_globals`.
  call,        ///< `children` are a global, the tuple of its arguments and, where there is one, the state set after it.
  persistent,  ///< The one child says what lies outside the pickle.
};

/// The number of a value in its pickle.
using PickleId = std::uint32_t;

/// The values of one pickle. A value may be in several places, also in itself.
class Pickle {
 public:
  [[nodiscard]] PickleId root() const noexcept { return root_; }
  /// How many bytes were read: another pickle may follow.
  [[nodiscard]] std::size_t bytes_read() const noexcept { return bytes_read_; }
  [[nodiscard]] std::size_t size() const noexcept { return values_.size(); }

  [[nodiscard]] PickleKind kind(PickleId id) const noexcept { return values_[id].kind; }
  [[nodiscard]] bool boolean(PickleId id) const noexcept { return values_[id].number.integer != 0; }
  [[nodiscard]] std::int64_t integer(PickleId id) const noexcept { return values_[id].number.integer; }
  [[nodiscard]] double real(PickleId id) const noexcept { return values_[id].number.real; }
  /// Points into the bytes that were parsed, or to a constant.
  [[nodiscard]] std::string_view text(PickleId id) const noexcept {
    return {values_[id].number.text, values_[id].length};
  }
  [[nodiscard]] std::span<const PickleId> children(PickleId id) const noexcept { return lists_[values_[id].length]; }

 private:
  friend class PickleReader;
  struct Value {
    PickleKind kind = PickleKind::none;
    std::uint32_t length = 0;  ///< Of the text; for what has children, their place in `lists_`.
    union {
      std::int64_t integer = 0;
      double real;
      const char* text;
    } number = {};
  };
  std::vector<Value> values_;
  std::vector<std::vector<PickleId>> lists_;
  PickleId root_ = 0;
  std::size_t bytes_read_ = 0;
};

/// Reads the first pickle of `bytes`, of protocol 2 to 5, all of whose opcodes are known but for those that name an
/// object by itself (extension registries, buffers outside the pickle) or make one of a class (OBJ, INST). `where` is
/// for messages.
///
/// Classes and functions are kept by name, and only those of `allowed_pickle_globals` are taken: Error names the first
/// other one. What a pickle wants to have called is kept as a `call`; of calls only those that make an OrderedDict, a
/// Counter, a set or a frozenset are carried out.
///
/// Nothing outside `bytes` is read whatever they are; nothing is recursive; memory is at most some 50 bytes for each
/// byte, and there are at most 20,000,000 values. Throws Error, with the byte, for anything that is not such a pickle.
[[nodiscard]] Pickle parse_pickle(std::span<const std::byte> bytes, std::string_view where);

/// The full name under which a global is kept, `torch._utils._rebuild_tensor_v2`; empty when it is not allowed. Names
/// of Python 2 and of older releases of numpy and torch become those of today.
[[nodiscard]] std::string_view allowed_pickle_global(std::string_view module, std::string_view name);

/// All globals that are allowed, sorted.
[[nodiscard]] std::span<const std::string_view> allowed_pickle_globals() noexcept;

}  // namespace athanor
