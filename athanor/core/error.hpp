// SPDX-License-Identifier: Apache-2.0
// The one exception type of the library: what went wrong, where, got, expected, and what to do.
#pragma once

#include <stdexcept>
#include <string>

namespace athanor {

/// A mistake in the program, its data or its surroundings. Everything that Athanor throws on purpose is one of these.
///
/// `what()` is the whole message, one part to a line; empty parts are left out:
///
///     the monitor 'val_f1' is not among the values of this run
///       where:    fit(), before the first step
///       got:      val_f1
///       expected: one of train_loss, train_acc, val_loss, val_acc
///       to do:    name one of these, or add a metric called f1
class Error : public std::runtime_error {
 public:
  struct Parts {
    std::string what = {};      ///< One sentence, no full stop.
    std::string where = {};     ///< File and row, layer, option, sample index, epoch and step.
    std::string got = {};       ///< The value that was met.
    std::string expected = {};  ///< What would have been right.
    std::string todo = {};      ///< What the reader can do about it.
  };

  explicit Error(Parts parts);

  /// The parts that `what()` is made of.
  [[nodiscard]] const Parts& parts() const noexcept { return parts_; }

 private:
  Parts parts_;
};

}  // namespace athanor
