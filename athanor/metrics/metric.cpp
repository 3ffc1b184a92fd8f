// SPDX-License-Identifier: Apache-2.0
#include "athanor/metrics/metric.hpp"

#include "athanor/core/error.hpp"

namespace athanor {

void Metric::merge(const Metric& other) {
  if (held_->type() != other.held_->type()) {
    using metrics::detail::type_name;
    throw Error({.what = "two metrics of different kinds can't be merged",
                 .got = "'" + other.name_ + "', of type " + type_name(other.held_->type()),
                 .expected = "the kind of '" + name_ + "', of type " + type_name(held_->type()),
                 .todo = "merge only copies of one metric, each with a part of the data"});
  }
  held_->merge(*other.held_);
}

void Metric::report(Values& values, std::string_view prefix) const {
  metrics::detail::report(values, prefix, name_, compute());
}

}  // namespace athanor
