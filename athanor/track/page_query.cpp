// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/page_query.hpp"

#include <algorithm>
#include <charconv>

namespace athanor::track {
namespace {

constexpr size_t most_columns = 4000;
constexpr size_t most_curves_at_once = 400;

std::string_view page_text(const PageParameters& parameters, const char* name) {
  const auto found = parameters.find(name);
  return found == parameters.end() ? std::string_view() : std::string_view(found->second);
}

template <class Number>
Number number_in(const PageParameters& parameters, const char* name, Number otherwise) {
  const std::string_view text = page_text(parameters, name);
  Number value = otherwise;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  return problem == std::errc() && end == text.data() + text.size() ? value : otherwise;
}

std::vector<size_t> numbers_in(std::string_view text) {
  std::vector<size_t> numbers;
  while (!text.empty()) {
    size_t value = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (problem != std::errc()) break;
    numbers.push_back(value);
    text.remove_prefix(std::min(static_cast<size_t>(end - text.data()) + 1, text.size()));
  }
  return numbers;
}

}  // namespace

uint64_t page_number(const PageParameters& parameters, const char* name, uint64_t otherwise) {
  return number_in(parameters, name, otherwise);
}

CurvesQuery curves_query(const PageParameters& parameters) {
  CurvesQuery query;
  query.runs = numbers_in(page_text(parameters, "runs"));
  const auto [first, last] = parameters.equal_range("name");
  for (auto each = first; each != last; ++each) query.names.push_back(each->second);
  query.runs.resize(std::min(query.runs.size(), most_curves_at_once / std::max<size_t>(query.names.size(), 1)));
  const std::string_view axis = page_text(parameters, "x");
  query.axis = axis == "epoch" ? RunAxis::epoch : axis == "time" ? RunAxis::time : RunAxis::step;
  CurveRequest& range = query.request;
  range.from = number_in(parameters, "from", range.from);
  range.to = number_in(parameters, "to", range.to);
  range.columns = std::clamp<size_t>(number_in(parameters, "columns", range.columns), 10, most_columns);
  const double smoothing = number_in(parameters, "smoothing", 0.0);
  range.smoothing = smoothing > 0 ? std::min(smoothing, 0.9999) : 0;  // NaN is 0
  return query;
}

bool same_secret(std::string_view given, std::string_view secret) noexcept {
  unsigned difference = given.size() == secret.size() ? 0U : 1U;
  for (size_t i = 0; i < given.size(); ++i) {
    const unsigned char other = secret.empty() ? 0 : static_cast<unsigned char>(secret[i % secret.size()]);
    difference |= static_cast<unsigned char>(given[i]) ^ other;
  }
  return difference == 0 && !secret.empty();
}

bool is_own_host(std::string_view host) noexcept {
  const size_t colon = host.rfind(':');
  const size_t bracket = host.rfind(']');
  if (colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket)) {
    const std::string_view port = host.substr(colon + 1);
    if (port.empty() || port.find_first_not_of("0123456789") != std::string_view::npos) return false;
    host = host.substr(0, colon);
  }
  return host == "localhost" || host == "127.0.0.1" || host == "[::1]";
}

}  // namespace athanor::track
