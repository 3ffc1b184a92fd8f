// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/flat_options.hpp"

#include <algorithm>
#include <cctype>
#include <string_view>

#include "athanor/core/utf8.hpp"

namespace athanor::track {
namespace {

void set_text(NamedTexts& texts, const std::string& name, std::string value) {
  const auto found = std::find_if(texts.begin(), texts.end(), [&](const auto& text) { return text.first == name; });
  if (found == texts.end()) {
    texts.emplace_back(name, std::move(value));
  } else {
    found->second = std::move(value);
  }
}

bool is_word(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.';
  });
}

/// `lr=0.001, betas=(0.9, 0.999)` in its parts; empty when it is not of that form.
NamedTexts arguments_in(std::string_view text) {
  NamedTexts arguments;
  size_t begin = 0;
  int depth = 0;
  for (size_t at = 0; at <= text.size(); ++at) {
    const char c = at < text.size() ? text[at] : ',';
    if (c == '(' || c == '[' || c == '{') depth += 1;
    if (c == ')' || c == ']' || c == '}') depth -= 1;
    if (depth < 0) return {};
    if (c != ',' || depth > 0) continue;
    std::string_view part = text.substr(begin, at - begin);
    while (part.starts_with(' ')) part.remove_prefix(1);
    const size_t equals = part.find('=');
    if (equals == std::string_view::npos || !is_word(part.substr(0, equals))) return {};
    arguments.emplace_back(part.substr(0, equals), part.substr(equals + 1));
    begin = at + 1;
  }
  return depth == 0 ? arguments : NamedTexts();
}

void set_flat(NamedTexts& texts, const std::string& name, const std::string& value) {
  std::string_view text = value;
  constexpr std::string_view remark = " by default";
  if (text.ends_with(remark)) text.remove_suffix(remark.size());
  const size_t open = text.find('(');
  if (open != std::string_view::npos && text.ends_with(')') && is_word(text.substr(0, open))) {
    const NamedTexts arguments = arguments_in(text.substr(open + 1, text.size() - open - 2));
    if (!arguments.empty()) {
      set_text(texts, name, std::string(text.substr(0, open)));
      for (const auto& [argument, content] : arguments) set_flat(texts, name + "." + argument, content);
      return;
    }
  }
  set_text(texts, name, value);
}

}  // namespace

NamedTexts flat_options(const events::RunBegin& run) {
  NamedTexts texts;
  for (const auto& [name, value] : run.options) set_flat(texts, valid_utf8(name), valid_utf8(value));
  if (!run.device.empty()) {
    set_text(texts, "seed", std::to_string(run.seed));
    set_text(texts, "device", run.device);
    set_text(texts, "parameters", std::to_string(run.parameters));
  }
  return texts;
}

std::string cut_text(const std::string& text, size_t bytes) {
  constexpr std::string_view more = "…";
  if (text.size() <= bytes) return text;
  size_t end = 0;
  const size_t room = bytes > more.size() ? bytes - more.size() : 0;
  for (size_t length = 0; end < text.size(); end += length) {
    length = std::max<size_t>(first_character(std::string_view(text).substr(end)).length, 1);
    if (end + length > room) break;
  }
  return text.substr(0, end) + std::string(more);
}

}  // namespace athanor::track
