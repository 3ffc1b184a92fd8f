// SPDX-License-Identifier: Apache-2.0
#include "athanor/callbacks/profile_report.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <set>
#include <string_view>
#include <tuple>

namespace athanor {
namespace {

using SpanKind = ProfileSpan::Kind;

constexpr uint64_t host_process = 1;
constexpr uint64_t device_process = 2;

double seconds_of(const ProfileSpan& span) { return static_cast<double>(span.end_ns - span.begin_ns) * 1e-9; }

bool is_operator(SpanKind kind) { return kind == SpanKind::op || kind == SpanKind::node; }

const char* category_of(SpanKind kind) {
  switch (kind) {
    case SpanKind::step:
      return "step";
    case SpanKind::phase:
      return "phase";
    case SpanKind::mark:
      return "mark";
    case SpanKind::op:
      return "operator";
    case SpanKind::node:
      return "backward";
    case SpanKind::device:
      break;
  }
  return "kernel";
}

std::string json_text(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      result += '\\';
      result += c;
    } else if (byte < 0x20 || byte >= 0x7F) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", byte);
      result += escaped;
    } else {
      result += c;
    }
  }
  return result + "\"";
}

/// Nanoseconds as microseconds with three decimals: exactly.
std::string microseconds(int64_t nanoseconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%lld.%03lld", static_cast<long long>(nanoseconds / 1000),
                static_cast<long long>(nanoseconds % 1000));
  return text;
}

std::string formatted(const char* format, double value) {
  char text[48];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::string milliseconds(double seconds) { return formatted("%.3f", seconds * 1e3); }

std::string percent_of(double part, double whole) { return formatted("%.1f %%", whole > 0 ? 100 * part / whole : 0); }

/// Rows of cells, the first column to the left, the others to the right.
std::string fixed_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string room(widths[i] - row[i].size(), ' ');
      line += i == 0 ? row[i] + room : "  " + room + row[i];
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string markdown_table(const std::vector<std::vector<std::string>>& rows) {
  std::string text;
  for (size_t i = 0; i < rows.size(); ++i) {
    text += "|";
    for (const std::string& cell : rows[i]) text += " " + cell + " |";
    text += "\n";
    if (i > 0) continue;
    for (size_t column = 0; column < rows[i].size(); ++column) text += column == 0 ? "|---" : "|---:";
    text += "|\n";
  }
  return text;
}

std::vector<std::vector<std::string>> phase_rows(const std::vector<PhaseTime>& phases, int64_t steps, double seconds) {
  std::vector<std::vector<std::string>> rows{{"phase", "ms a step", "share"}};
  const auto count = static_cast<double>(std::max<int64_t>(steps, 1));
  for (const PhaseTime& phase : phases) {
    rows.push_back({phase.name, milliseconds(phase.seconds / count), percent_of(phase.seconds, seconds)});
  }
  return rows;
}

std::vector<std::vector<std::string>> operator_rows(const std::vector<OperatorTime>& operators, size_t most,
                                                    const char* what) {
  const bool shapes =
      std::any_of(operators.begin(), operators.end(), [](const auto& each) { return !each.shapes.empty(); });
  std::vector<std::vector<std::string>> rows{{what, "calls", "self ms", "self", "total ms", "us a call"}};
  if (shapes) rows.front().emplace_back("shapes");
  double all = 0;
  for (const OperatorTime& each : operators) all += each.self_seconds;
  for (size_t i = 0; i < std::min(most, operators.size()); ++i) {
    const OperatorTime& each = operators[i];
    rows.push_back({each.name, std::to_string(each.calls), milliseconds(each.self_seconds),
                    percent_of(each.self_seconds, all), milliseconds(each.total_seconds),
                    formatted("%.2f", each.total_seconds * 1e6 / static_cast<double>(each.calls))});
    if (shapes) rows.back().push_back(each.shapes);
  }
  return rows;
}

std::string more_operators(const std::vector<OperatorTime>& operators, size_t most) {
  if (operators.size() <= most) return {};
  double rest = 0;
  for (size_t i = most; i < operators.size(); ++i) rest += operators[i].self_seconds;
  return "and " + std::to_string(operators.size() - most) + " more with " + milliseconds(rest) + " ms\n";
}

}  // namespace

ProfileReport::ProfileReport(std::vector<ProfileSpan> spans) : spans_(std::move(spans)) {
  // What begins first stands outside of what begins with it and ends sooner.
  std::stable_sort(spans_.begin(), spans_.end(), [](const ProfileSpan& a, const ProfileSpan& b) {
    return std::tie(a.begin_ns, b.end_ns) < std::tie(b.begin_ns, a.end_ns);
  });
  add_up();
  add_phases();
}

void ProfileReport::add_up() {
  struct Open {
    int64_t end_ns;
    size_t entry;
  };
  std::map<std::tuple<SpanKind, std::string, std::string>, size_t> known;
  std::vector<OperatorTime> entries;
  std::map<uint64_t, std::vector<Open>> open;  // of each thread
  for (const ProfileSpan& span : spans_) {
    if (!is_operator(span.kind) && span.kind != SpanKind::device) continue;
    const auto [place, fresh] = known.emplace(std::tuple(span.kind, span.name, span.shapes), entries.size());
    if (fresh) entries.push_back({.kind = span.kind, .name = span.name, .shapes = span.shapes});
    const size_t number = place->second;
    OperatorTime& entry = entries[number];
    const double seconds = seconds_of(span);
    entry.calls += 1;
    entry.self_seconds += seconds;
    if (span.kind == SpanKind::device) {
      entry.total_seconds += seconds;
      continue;
    }
    std::vector<Open>& stack = open[span.thread];
    while (!stack.empty() && stack.back().end_ns <= span.begin_ns) stack.pop_back();
    if (!stack.empty()) entries[stack.back().entry].self_seconds -= seconds;
    const bool within_itself =
        std::any_of(stack.begin(), stack.end(), [&](const Open& each) { return each.entry == number; });
    if (!within_itself) entry.total_seconds += seconds;
    stack.push_back({span.end_ns, number});
  }
  for (OperatorTime& entry : entries) {
    (entry.kind == SpanKind::device ? kernels_ : operators_).push_back(std::move(entry));
  }
  const auto dearer = [](const OperatorTime& a, const OperatorTime& b) { return a.self_seconds > b.self_seconds; };
  std::stable_sort(operators_.begin(), operators_.end(), dearer);
  std::stable_sort(kernels_.begin(), kernels_.end(), dearer);
}

void ProfileReport::add_phases() {
  for (const char* name : {"data", "forward", "backward", "optimizer"}) phases_.push_back({.name = name});
  double in_steps = 0, in_phases = 0;
  for (const ProfileSpan& span : spans_) {
    if (span.kind == SpanKind::step) {
      steps_ += 1;
      in_steps += seconds_of(span);
    }
    if (span.kind != SpanKind::phase) continue;
    for (PhaseTime& phase : phases_) {
      if (phase.name != span.name) continue;
      phase.seconds += seconds_of(span);
      phase.calls += 1;
      if (phase.name != "data") in_phases += seconds_of(span);
    }
  }
  phases_.push_back({.name = "rest", .seconds = in_steps - in_phases, .calls = steps_});
  seconds_ = in_steps + phases_.front().seconds;
}

std::string ProfileReport::text(size_t rows) const {
  std::string text = std::to_string(steps_) + " steps in " + milliseconds(seconds_) + " ms\n\n";
  text += fixed_table(phase_rows(phases_, steps_, seconds_)) + "\n";
  text += fixed_table(operator_rows(operators_, rows, "operator")) + more_operators(operators_, rows);
  if (!kernels_.empty()) {
    text += "\n" + fixed_table(operator_rows(kernels_, rows, "kernel")) + more_operators(kernels_, rows);
  }
  return text;
}

std::string ProfileReport::markdown(size_t rows) const {
  std::string text = "**" + std::to_string(steps_) + " steps in " + milliseconds(seconds_) + " ms**\n\n";
  text += markdown_table(phase_rows(phases_, steps_, seconds_)) + "\n";
  text += markdown_table(operator_rows(operators_, rows, "operator")) + "\n" + more_operators(operators_, rows);
  if (!kernels_.empty()) {
    text += "\n" + markdown_table(operator_rows(kernels_, rows, "kernel")) + "\n" + more_operators(kernels_, rows);
  }
  return text;
}

std::string ProfileReport::trace_json() const {
  std::string json = "{\"displayTimeUnit\": \"ms\", \"traceEvents\": [\n";
  const auto process_of = [](const ProfileSpan& span) {
    return span.kind == SpanKind::device ? device_process : host_process;
  };
  std::set<std::pair<uint64_t, uint64_t>> threads;
  uint64_t training = 0;
  for (const ProfileSpan& span : spans_) {
    threads.emplace(process_of(span), span.thread);
    if (span.kind == SpanKind::step) training = span.thread;
  }
  const auto name_place = [&](const char* what, uint64_t process, uint64_t thread, const std::string& name) {
    json += "{\"ph\": \"M\", \"name\": \"" + std::string(what) + "\", \"pid\": " + std::to_string(process) +
            ", \"tid\": " + std::to_string(thread) + ", \"args\": {\"name\": " + json_text(name) + "}},\n";
  };
  name_place("process_name", host_process, 0, "host");
  if (!kernels_.empty()) name_place("process_name", device_process, 0, "device");
  for (const auto& [process, thread] : threads) {
    const std::string number = std::to_string(thread);
    name_place("thread_name", process, thread,
               process == device_process ? "stream " + number
               : thread == training      ? "training thread"
                                         : "thread " + number);
  }
  for (const ProfileSpan& span : spans_) {
    json += "{\"ph\": \"X\", \"name\": " + json_text(span.name) + ", \"cat\": \"" + category_of(span.kind) +
            "\", \"ts\": " + microseconds(span.begin_ns) + ", \"dur\": " + microseconds(span.end_ns - span.begin_ns) +
            ", \"pid\": " + std::to_string(process_of(span)) + ", \"tid\": " + std::to_string(span.thread);
    if (!span.shapes.empty() || span.sequence >= 0) {
      json += ", \"args\": {";
      if (!span.shapes.empty()) json += "\"shapes\": " + json_text(span.shapes);
      if (!span.shapes.empty() && span.sequence >= 0) json += ", ";
      if (span.sequence >= 0) json += "\"sequence\": " + std::to_string(span.sequence);
      json += "}";
    }
    json += "},\n";
  }
  json.erase(json.size() - 2);
  return json + "\n]}\n";
}

}  // namespace athanor
