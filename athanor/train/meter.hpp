// SPDX-License-Identifier: Apache-2.0
// The accumulators of one pass: losses, metrics and logged values.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "athanor/metrics/metric.hpp"
#include "athanor/train/log.hpp"

namespace athanor {

/// Adds up what the steps of a pass hand back. Part of the state of a run: a pass that is interrupted goes on with
/// the sums it had. Nothing is read back from a device before a value is asked for.
///
/// Losses, metrics and logged values share one set of names. A name that two of them want, or that is logged in two
/// ways, is an Error that says who has it; nothing is added then.
class Meter {
 public:
  /// Throws Error when two metrics have the same name.
  explicit Meter(Metrics metrics = {});

  /// Adds the loss of a micro-batch: "loss", "loss_generator", "mse". A scalar, the mean over `samples`. From the
  /// second call with a name on, a scalar on the CPU costs no allocation. Throws what WeightedMean::update throws.
  void add_loss(std::string_view name, const at::Tensor& loss, double samples);
  void add_loss(std::string_view name, double loss, double samples);

  /// Adds a micro-batch to every metric. Throws what they throw.
  void measure(const Tree& predictions, const Tree& target, int64_t samples);

  /// Adds a scalar under a name. `samples`: of the batch, the weight where the options give none. A value that is
  /// neither per epoch nor in the bar is not accumulated.
  void log(std::string_view name, const at::Tensor& value, double samples, const LogOptions& options = {});
  void log(std::string_view name, double value, double samples, const LogOptions& options = {});
  /// Merges `value` into what there is under the name. Throws Error for another kind of accumulator than before, and
  /// when the options ask for a reduction or a weight, which are the accumulator's own business.
  void log(std::string_view name, Accumulator value, const LogOptions& options = {});

  /// What there is per epoch, each under `prefix` + its name: losses, metrics, logged values, each kind in the order in
  /// which they came. What has seen nothing is left out. Waits for the device. Throws Error when two values have the
  /// same name (a metric "f" with an entry "a", and a logged value "f_a").
  [[nodiscard]] Values values(std::string_view prefix = {}) const;
  /// What the bar shows. What takes long to compute (accumulators that are not live) is left out.
  [[nodiscard]] Values bar_values() const;
  /// The names of `values(prefix)`, each with its direction: losses down, the others as they say.
  [[nodiscard]] std::vector<std::pair<std::string, Direction>> directions(std::string_view prefix = {}) const;

  [[nodiscard]] const Metrics& metrics() const noexcept { return metrics_; }
  /// Nothing was added since `reset`.
  [[nodiscard]] bool empty() const noexcept;
  /// The samples of the pass: the most that the metrics or any one loss have seen.
  [[nodiscard]] double samples() const noexcept;

  /// Adds what `other` has seen, as if this one had seen it: the value over several loaders, without averages of
  /// averages. `other` comes after this one. Throws Error when the metrics differ.
  void merge(const Meter& other);
  /// Forgets values and keeps names with their options, so that the order of values is that of the first epoch.
  void reset();

  /// Names, options and sums, so a meter that has never seen the names loads them. An accumulator of a class of the
  /// caller's can't be made out of nothing: what was saved of it waits for the first one of that name, and has no value
  /// until then. Throws Error from `log` when it does not fit that one.
  void state(State& state);

 private:
  struct Loss {
    std::string name;
    WeightedMean mean;
  };
  struct Logged {
    std::string name;
    LogOptions options;
    bool given = false;  // an accumulator of the caller's, else a number
    std::optional<Accumulator> value = {};
    std::string saved_kind = {};
    Tree saved = {};  // of a given accumulator that has not come again since the state was loaded

    void absorb(const Accumulator& more);
    [[nodiscard]] Accumulator restored(const Accumulator& kind) const;
  };

  WeightedMean& loss(std::string_view name);
  Logged& logged(std::string_view name, const LogOptions& options, bool given);
  template <class T>
  void log_number(std::string_view name, const T& value, double samples, const LogOptions& options);
  void claim(std::string_view name, const char* newcomer) const;
  void logged_state(State& state, const Tree& saved);
  enum class Wanted { epoch, bar };
  Values collect(std::string_view prefix, Wanted wanted, std::vector<std::pair<std::string, Direction>>* names) const;

  std::vector<Loss> losses_;
  Metrics metrics_;
  double measured_ = 0;  // samples
  std::vector<Logged> logged_;
};

}  // namespace athanor
