// SPDX-License-Identifier: Apache-2.0
// Pickles of protocol 2, of the opcodes that torch.load(weights_only=True) takes. No LibTorch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

namespace athanor {

/// Appends values to a pickle. A container is its start (`begin_...`), its items and its end; the caller nests them.
class PickleWriter {
 public:
  PickleWriter();

  void none();
  void boolean(bool value);
  void integer(std::int64_t value);
  void real(double value);
  /// UTF-8, of less than 2^32 bytes.
  void text(std::string_view value);
  void integers(std::span<const std::int64_t> values);  ///< A tuple.
  /// A class or function by its module and name.
  void global(std::string_view module, std::string_view name);

  void begin_tuple();
  void end_tuple();
  void begin_list();
  void end_list();
  void begin_dictionary();  ///< Its items are keys and values in turn.
  void end_dictionary();
  /// Calls the function before last with the tuple that is last.
  void call();
  /// Makes the tuple that is last the place of something outside the pickle.
  void persistent();

  /// Ends the pickle and gives its bytes.
  [[nodiscard]] std::string finish();

 private:
  void opcode(char code) { bytes_ += code; }
  void little_endian(std::uint64_t value, std::size_t count);
  std::string bytes_;
};

}  // namespace athanor
