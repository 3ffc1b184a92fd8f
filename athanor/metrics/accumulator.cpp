// SPDX-License-Identifier: Apache-2.0
#include "athanor/metrics/accumulator.hpp"

#include <c10/util/Type.h>

#include "athanor/core/error.hpp"
#include "athanor/core/text.hpp"

namespace athanor {

void Accumulator::merge(const Accumulator& other) {
  if (held_->type() != other.held_->type()) {
    throw Error({.what = "two accumulators of different kinds can't be merged",
                 .got = other.kind(),
                 .expected = kind() + ", as what is there already",
                 .todo = "give each kind a name of its own"});
  }
  held_->merge(*other.held_);
}

namespace metrics::detail {

std::string type_name(const std::type_info& type) { return c10::demangle(type.name()); }

void report(Values& values, std::string_view prefix, const std::string& name, const Tree& result) {
  const auto set = [&](double number) {
    if (name.empty()) {
      throw Error({.what = "a single value has no name",
                   .got = format_number(number),
                   .expected = "a dictionary of values, whose entries are the names",
                   .todo = "give the metric a name"});
    }
    values.set(std::string(prefix) + name, number);
  };
  switch (result.kind()) {
    case Tree::Kind::boolean:
      set(result.boolean() ? 1 : 0);
      break;
    case Tree::Kind::integer:
    case Tree::Kind::real:
      set(result.real());
      break;
    case Tree::Kind::tensor:
      if (result.tensor().defined() && result.tensor().dim() == 0) set(result.tensor().item().toDouble());
      break;
    case Tree::Kind::dictionary:
      for (const auto& [entry, item] : result.entries()) {
        report(values, prefix, name.empty() ? entry : name + "_" + entry, item);
      }
      break;
    default:
      break;
  }
}

}  // namespace metrics::detail
}  // namespace athanor
