// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/meter.hpp"

#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"
#include "athanor/metrics/reductions.hpp"

namespace athanor {
namespace {

const char* name_of(Reduce reduce) {
  switch (reduce) {
    case Reduce::mean:
      return "mean";
    case Reduce::sum:
      return "sum";
    case Reduce::last:
      return "last";
    case Reduce::minimum:
      return "minimum";
    case Reduce::maximum:
      return "maximum";
  }
  return "";
}

Reduce reduce_named(const std::string& name) {
  for (const Reduce reduce : {Reduce::sum, Reduce::last, Reduce::minimum, Reduce::maximum}) {
    if (name == name_of(reduce)) return reduce;
  }
  return Reduce::mean;
}

bool same_way(const LogOptions& a, const LogOptions& b) {
  return a.reduce == b.reduce && a.per_epoch == b.per_epoch && a.per_step == b.per_step && a.bar == b.bar;
}

std::string describe_logging(const LogOptions& options, bool given) {
  const auto flag = [](bool on) { return on ? "true" : "false"; };
  return (given ? std::string("an accumulator") : std::string("a number, .reduce = ") + name_of(options.reduce)) +
         ", .per_epoch = " + flag(options.per_epoch) + ", .per_step = " + flag(options.per_step) +
         ", .bar = " + flag(options.bar);
}

Accumulator empty_of(Reduce reduce) {
  switch (reduce) {
    case Reduce::sum:
      return Sum();
    case Reduce::last:
      return Last();
    case Reduce::minimum:
      return Minimum();
    case Reduce::maximum:
      return Maximum();
    case Reduce::mean:
      break;
  }
  return WeightedMean();
}

template <class T>
void add(Accumulator& to, Reduce reduce, const T& value, double weight) {
  switch (reduce) {
    case Reduce::mean:
      to.target<WeightedMean>()->update(value, weight);
      break;
    case Reduce::sum:
      to.target<Sum>()->update(value);
      break;
    case Reduce::last:
      to.target<Last>()->update(value);
      break;
    case Reduce::minimum:
      to.target<Minimum>()->update(value);
      break;
    case Reduce::maximum:
      to.target<Maximum>()->update(value);
      break;
  }
}

/// Shares no tensor with `tree`: a state that is saved again is written over in place.
Tree copy_of(const Tree& tree) {
  return tree.map([](const at::Tensor& tensor) { return tensor.defined() ? tensor.clone() : tensor; });
}

std::string where_logged(std::string_view name) { return "log(\"" + std::string(name) + "\")"; }

/// Metrics of several values may have no name.
std::string state_name(const Metrics& metrics, size_t index) {
  if (!metrics[index].name().empty()) return "metric " + metrics[index].name();
  size_t unnamed = 0;
  for (size_t i = 0; i < index; ++i) unnamed += metrics[i].name().empty();
  return "unnamed metric " + std::to_string(unnamed);
}

/// Accumulators of the library, which can be made out of nothing when a state is loaded.
const std::vector<Accumulator>& kinds_of_ours() {
  static const std::vector<Accumulator> kinds = {WeightedMean(), Sum(), Last(), Minimum(), Maximum()};
  return kinds;
}

}  // namespace

Meter::Meter(Metrics metrics) : metrics_(std::move(metrics)) {
  for (size_t i = 0; i < metrics_.size(); ++i) {
    for (size_t other = 0; other < i; ++other) {
      if (metrics_[i].name().empty() || metrics_[i].name() != metrics_[other].name()) continue;
      throw Error({.what = "two metrics have the same name",
                   .got = metrics_[i].name(),
                   .expected = "names that differ",
                   .todo = "name one of them: {\"" + metrics_[i].name() + "_2\", …}"});
    }
  }
}

void Meter::claim(std::string_view name, const char* newcomer) const {
  const auto named = [&](const auto& each) { return each.name == name; };
  const char* owner = nullptr;
  if (std::any_of(losses_.begin(), losses_.end(), named)) owner = "a loss";
  if (std::any_of(logged_.begin(), logged_.end(), named)) owner = "a logged value";
  for (const Metric& metric : metrics_) {
    if (metric.name() == name) owner = "a metric";
  }
  if (owner == nullptr) return;
  throw Error({.what = "the name '" + std::string(name) + "' belongs to " + owner + " already",
               .got = std::string(newcomer) + " called '" + std::string(name) + "'",
               .expected = "a name that no loss, metric or logged value has",
               .todo = "give one of the two another name"});
}

WeightedMean& Meter::loss(std::string_view name) {
  for (Loss& loss : losses_) {
    if (loss.name == name) return loss.mean;
  }
  claim(name, "a loss");
  return losses_.emplace_back(Loss{std::string(name), {}}).mean;
}

void Meter::add_loss(std::string_view name, const at::Tensor& loss, double samples) {
  this->loss(name).update(loss, samples);
}

void Meter::add_loss(std::string_view name, double loss, double samples) { this->loss(name).update(loss, samples); }

void Meter::measure(const Tree& predictions, const Tree& target, int64_t samples) {
  if (metrics_.empty()) return;
  const at::NoGradGuard no_grad;
  for (Metric& metric : metrics_) metric.update(predictions, target, samples);
  measured_ += static_cast<double>(samples);
}

Meter::Logged& Meter::logged(std::string_view name, const LogOptions& options, bool given) {
  const auto found = std::find_if(logged_.begin(), logged_.end(), [&](const auto& each) { return each.name == name; });
  if (found == logged_.end()) {
    claim(name, "a logged value");
    Logged made{std::string(name), options, given};
    made.options.samples.reset();
    return logged_.emplace_back(std::move(made));
  }
  if (found->given != given || !same_way(found->options, options)) {
    throw Error({.what = "the value '" + std::string(name) + "' is logged in two ways",
                 .got = describe_logging(options, given),
                 .expected = describe_logging(found->options, found->given) + ", as it was logged first",
                 .todo = "log it with the same options everywhere, or under two names"});
  }
  return *found;
}

template <class T>
void Meter::log_number(std::string_view name, const T& value, double samples, const LogOptions& options) {
  Logged& slot = logged(name, options, /*given=*/false);
  if (!options.per_epoch && !options.bar) return;
  if (!slot.value) slot.value = empty_of(options.reduce);
  add(*slot.value, options.reduce, value, options.samples.value_or(samples));
}

void Meter::log(std::string_view name, const at::Tensor& value, double samples, const LogOptions& options) {
  log_number(name, value, samples, options);
}

void Meter::log(std::string_view name, double value, double samples, const LogOptions& options) {
  log_number(name, value, samples, options);
}

void Meter::log(std::string_view name, Accumulator value, const LogOptions& options) {
  if (options.reduce != Reduce::mean || options.samples) {
    throw Error({.what = "an accumulator brings its own reduction and weights",
                 .where = where_logged(name),
                 .got = options.samples ? ".samples = " + shortest(*options.samples)
                                        : std::string(".reduce = ") + name_of(options.reduce),
                 .todo = "leave these options out, or log a number"});
  }
  Logged& slot = logged(name, options, /*given=*/true);
  if (!options.per_epoch && !options.bar) return;
  slot.absorb(value);
}

Accumulator Meter::Logged::restored(const Accumulator& kind) const {
  Accumulator copy = kind;
  const std::vector<std::string> differences = check_state(copy, saved);
  if (!differences.empty()) {
    throw Error({.what = "what was saved under '" + name + "' does not fit the accumulator that is logged now",
                 .where = where_logged(name),
                 .got = kind.kind() + "; " + join(differences, "; "),
                 .expected = "the accumulator that was logged when the state was saved",
                 .todo = "log the same one, or give the new one another name"});
  }
  load_state(copy, saved);
  return copy;
}

void Meter::Logged::absorb(const Accumulator& more) {
  if (!saved.empty()) {
    value = restored(more);
    saved = {};
  }
  if (!value) {
    value = more;
    return;
  }
  try {
    value->merge(more);
  } catch (const Error& error) {
    Error::Parts parts = error.parts();
    parts.where = where_logged(name) + (parts.where.empty() ? "" : ", " + parts.where);
    throw Error(std::move(parts));
  }
}

Values Meter::collect(std::string_view prefix, Wanted wanted,
                      std::vector<std::pair<std::string, Direction>>* names) const {
  Values all;
  const auto add = [&](const Values& more, Direction direction) {
    for (const auto& [name, value] : more) {
      if (all.find(name)) {
        throw Error({.what = "two values of a pass have the same name",
                     .got = name,
                     .expected = "names that differ; the values of a metric 'f' are called f_NAME",
                     .todo = "give one of the two another name"});
      }
      all.set(name, value);
      if (names != nullptr) names->emplace_back(name, direction);
    }
  };
  for (const auto& [name, mean] : losses_) {
    if (!mean.empty()) add({{std::string(prefix) + name, mean.compute()}}, Direction::down);
  }
  for (const Metric& metric : metrics_) {
    if (measured_ == 0 || metric.empty() || (wanted == Wanted::bar && !metric.live())) continue;
    Values of_metric;
    metric.report(of_metric, prefix);
    add(of_metric, metric.direction());
  }
  for (const Logged& slot : logged_) {
    if (!slot.value || slot.value->empty()) continue;
    if (wanted == Wanted::epoch ? !slot.options.per_epoch : !slot.options.bar || !slot.value->live()) continue;
    Values of_slot;
    metrics::detail::report(of_slot, prefix, slot.name, slot.value->compute());
    add(of_slot, slot.value->direction());
  }
  return all;
}

Values Meter::values(std::string_view prefix) const { return collect(prefix, Wanted::epoch, nullptr); }

Values Meter::bar_values() const { return collect({}, Wanted::bar, nullptr); }

std::vector<std::pair<std::string, Direction>> Meter::directions(std::string_view prefix) const {
  std::vector<std::pair<std::string, Direction>> names;
  collect(prefix, Wanted::epoch, &names);
  return names;
}

bool Meter::empty() const noexcept {
  return samples() == 0 && std::none_of(logged_.begin(), logged_.end(), [](const Logged& slot) {
           return slot.value.has_value() || !slot.saved.empty();
         });
}

double Meter::samples() const noexcept {
  double most = measured_;
  for (const Loss& loss : losses_) most = std::max(most, loss.mean.weight());
  return most;
}

void Meter::merge(const Meter& other) {
  const bool same = metrics_.size() == other.metrics_.size() &&
                    std::equal(metrics_.begin(), metrics_.end(), other.metrics_.begin(),
                               [](const Metric& a, const Metric& b) { return a.name() == b.name(); });
  if (!same) {
    const auto names = [](const Metrics& metrics) {
      std::vector<std::string> names;
      for (const Metric& metric : metrics) names.push_back(metric.name());
      return names.empty() ? "no metrics" : join(names, ", ");
    };
    throw Error({.what = "two meters with different metrics can't be merged",
                 .got = names(other.metrics_),
                 .expected = names(metrics_)});
  }
  for (const auto& [name, mean] : other.losses_) loss(name).merge(mean);
  for (size_t i = 0; i < metrics_.size(); ++i) metrics_[i].merge(other.metrics_[i]);
  measured_ += other.measured_;
  for (const Logged& theirs : other.logged_) {
    Logged& mine = logged(theirs.name, theirs.options, theirs.given);
    if (theirs.value) {
      mine.absorb(*theirs.value);
    } else if (!theirs.saved.empty() && mine.value) {
      mine.value->merge(theirs.restored(*mine.value));
    } else if (!theirs.saved.empty() && mine.saved.empty()) {
      mine.saved = copy_of(theirs.saved);
    } else if (!theirs.saved.empty()) {
      throw Error({.what = "two saved accumulators wait for their kind, so they can't be merged",
                   .got = theirs.name,
                   .todo = "log '" + theirs.name + "' in one of the two passes first"});
    }
  }
}

void Meter::reset() {
  measured_ = 0;
  for (Loss& loss : losses_) loss.mean.reset();
  for (Metric& metric : metrics_) metric.reset();
  for (Logged& slot : logged_) {
    slot.value.reset();
    slot.saved = {};
  }
}

void Meter::state(State& state) {
  state.value("measured", measured_);
  for (size_t i = 0; i < metrics_.size(); ++i) state.child(state_name(metrics_, i), metrics_[i]);

  // Which losses and values a step gives is known only once it has run, so the names are part of the state.
  Tree losses = Tree::List{};
  for (const Loss& loss : losses_) losses.items().emplace_back(loss.name);
  state.value("losses", losses);
  if (state.loading()) {
    losses_.clear();
    for (const Tree& name : losses.items()) losses_.push_back({name.text(), {}});
  }
  struct Means {
    std::vector<Loss>& losses;
    void state(State& state) {
      for (Loss& loss : losses) state.child(loss.name, loss.mean);
    }
  };
  Means means{losses_};
  state.child("loss_means", means, State::Shape::free);

  Tree logged = Tree::List{};
  for (const Logged& slot : logged_) {
    logged.items().push_back(Tree{{"name", slot.name},
                                  {"given", slot.given},
                                  {"kind", slot.given && slot.value ? slot.value->kind() : slot.saved_kind},
                                  {"filled", slot.value.has_value() || !slot.saved.empty()},
                                  {"reduce", name_of(slot.options.reduce)},
                                  {"per_epoch", slot.options.per_epoch},
                                  {"per_step", slot.options.per_step},
                                  {"bar", slot.options.bar}});
  }
  state.value("logged", logged);
  struct Slots {
    Meter& meter;
    const Tree& logged;
    void state(State& state) { meter.logged_state(state, logged); }
  };
  Slots slots{*this, logged};
  state.child("logged_values", slots, State::Shape::free);
}

void Meter::logged_state(State& state, const Tree& saved) {
  if (!state.loading()) {
    for (Logged& slot : logged_) {
      if (slot.value) {
        state.child(slot.name, *slot.value);
      } else if (!slot.saved.empty()) {
        Tree waiting = copy_of(slot.saved);
        state.value(slot.name, waiting);
      }
    }
    return;
  }
  std::vector<Logged> before = std::exchange(logged_, {});
  for (const Tree& entry : saved.items()) {
    const bool given = entry["given"].boolean();
    Logged& slot = logged_.emplace_back(Logged{entry["name"].text(),
                                               {.reduce = reduce_named(entry["reduce"].text()),
                                                .per_epoch = entry["per_epoch"].boolean(),
                                                .per_step = entry["per_step"].boolean(),
                                                .bar = entry["bar"].boolean()},
                                               given});
    if (!entry["filled"].boolean()) continue;
    if (!given) {
      slot.value = empty_of(slot.options.reduce);
      state.child(slot.name, *slot.value);
      continue;
    }
    state.value(slot.name, slot.saved);
    slot.saved = copy_of(slot.saved);
    slot.saved_kind = entry["kind"].text();
    for (const Accumulator& kind : kinds_of_ours()) {
      if (kind.kind() != slot.saved_kind) continue;
      slot.value = slot.restored(kind);
      slot.saved = {};
    }
    if (slot.value) continue;
    const auto known = std::find_if(before.begin(), before.end(), [&](Logged& each) {
      return each.name == slot.name && each.given && each.value && check_state(*each.value, slot.saved).empty();
    });
    if (known != before.end()) {
      slot.value = slot.restored(*known->value);
      slot.saved = {};
    }
  }
}

}  // namespace athanor
