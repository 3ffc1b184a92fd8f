// SPDX-License-Identifier: Apache-2.0
// What can be said about a training before it begins.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "athanor/train/trainer.hpp"

namespace athanor {

/// The result of `Trainer::diagnose`: a line for each thing that was looked at.
///
///     std::cout << trainer.diagnose(task, {.train = train, .validation = {validation}});
class Diagnosis {
 public:
  enum class Level { good, note, fault };
  struct Finding {
    Level level = Level::good;
    std::string subject;  ///< `gradients`, `data val`, `monitors`, …
    std::string text;
  };

  [[nodiscard]] const std::vector<Finding>& findings() const noexcept { return findings_; }
  /// Whether nothing was found that would end or spoil the training.
  [[nodiscard]] bool good() const noexcept;
  /// Everything as text, a line each.
  [[nodiscard]] std::string text() const;

 private:
  friend class Trainer;
  Diagnosis() = default;

  void run(Trainer& trainer, Task& task, const Feeds& feeds);
  void look_at_nets(Trainer& trainer, Task& task);
  void look_at_data(Trainer& trainer, const Feed& feed, Stage stage, const std::string& name);
  void look_at_gradients(Trainer& trainer, Task& task, const Feed& train);
  void add(Level level, std::string subject, std::string text);
  template <class Action>
  void attempt(const std::string& subject, const Action& action);

  std::vector<Finding> findings_;
};

std::ostream& operator<<(std::ostream& stream, const Diagnosis& diagnosis);

}  // namespace athanor
