// SPDX-License-Identifier: Apache-2.0
#include "athanor/core/options.hpp"

#include <algorithm>
#include <cstdlib>
#include <iostream>

#include "athanor/core/error.hpp"
#include "athanor/core/file.hpp"
#include "athanor/core/option_json.hpp"
#include "athanor/core/text.hpp"

namespace athanor::detail {
namespace {

using Kind = OptionValue::Kind;

bool same(std::string_view left, std::string_view right) {
  auto equal = [](char a, char b) { return (a == '-' ? '_' : a) == (b == '-' ? '_' : b); };
  return std::equal(left.begin(), left.end(), right.begin(), right.end(), equal);
}

/// The field of that dotted name, under its full name.
std::optional<OptionField> find(const std::vector<OptionField>& fields, std::string_view name) {
  for (const OptionField& field : fields) {
    if (same(field.name, name)) return field;
    const size_t length = field.name.size();
    if (field.type->members == nullptr || name.size() <= length || name[length] != '.') continue;
    if (!same(field.name, name.substr(0, length))) continue;
    auto below = find(field.type->members(field.field, true), name.substr(length + 1));
    if (below) below->name = field.name + "." + below->name;
    return below;
  }
  return std::nullopt;
}

/// Every option with its full name. With `make`, optional structs are made, for the names of their fields.
template <class F>
void walk(const std::vector<OptionField>& fields, bool make, const F& function, const std::string& prefix = {}) {
  for (OptionField field : fields) {
    field.name = prefix + field.name;
    if (field.type->members == nullptr) {
      function(field);
      continue;
    }
    if (field.type->write(field.field).kind == Kind::null) function(field);
    const std::string below = field.name + ".";
    walk(field.type->members(field.field, make), make, function, below);
  }
}

std::string unknown(const std::vector<OptionField>& fields, const std::string& name, const std::string& prefix = {}) {
  std::vector<std::string> names;
  walk(fields, true, [&](const OptionField& field) { names.push_back(field.name); });
  std::string plain = name;
  std::replace(plain.begin(), plain.end(), '-', '_');
  const std::string shown = OptionValue{.kind = Kind::word, .text = prefix + name}.describe();
  const std::string near = nearest(plain, names);
  if (!near.empty()) return "'" + shown + "' is not an option; the nearest is '" + prefix + near + "'";
  for (std::string& each : names) each.insert(0, prefix);
  return "'" + shown + "' is not an option; there are " + join(names, ", ");
}

void refuse(const OptionFaults& faults, const std::string& where) {
  if (faults.empty()) return;
  constexpr size_t shown = 20;
  OptionFaults lines(faults.begin(), faults.begin() + static_cast<ptrdiff_t>(std::min(shown, faults.size())));
  if (faults.size() > shown) lines.push_back("and " + std::to_string(faults.size() - shown) + " more");
  throw Error({.what = (faults.size() == 1 ? "an option is" : std::to_string(faults.size()) + " options are") +
                       std::string(" wrong, and nothing was taken over"),
               .where = where,
               .got = join(lines, "\n            ")});
}

/// What `set_option` would take for the same value.
std::string as_text(const OptionValue& value) {
  switch (value.kind) {
    case Kind::null:
      return "none";
    case Kind::dictionary:
      return write_option_json(value);
    case Kind::list: {
      std::vector<std::string> parts;
      for (const OptionValue& item : value.items) {
        const bool nested = item.kind == Kind::list || item.kind == Kind::dictionary;
        const bool plain =
            !nested && (item.kind != Kind::text || (!item.text.empty() && item.text != "none" &&
                                                    item.text.find_first_of(", \t[{") == std::string::npos));
        if (!plain) return write_option_json(value);
        parts.push_back(as_text(item));
      }
      return join(parts, ",");
    }
    default:
      return value.text;
  }
}

/// The walk over the arguments of a program.
class CommandLine {
 public:
  CommandLine(const std::vector<OptionField>& fields, int argc, const char* const* argv) : fields_(fields) {
    for (int i = 1; i < argc && argv[i] != nullptr; ++i) words_.emplace_back(argv[i]);
  }

  std::vector<std::string> take() {
    while (next_ < words_.size()) {
      const std::string word = words_[next_++];
      if (word == "--") {
        rest_.insert(rest_.end(), words_.begin() + static_cast<ptrdiff_t>(next_), words_.end());
        break;
      }
      if ((word == "--help" && !find(fields_, "help")) || word == "-h") show_help();
      const auto letter = word.size() > 1 ? static_cast<unsigned char>(word[1] | 0x20) : 0;
      if (word.starts_with("--")) {
        option(word.substr(2));
      } else if (word.starts_with('-') && letter >= 'a' && letter <= 'z') {
        faults_.push_back("'" + word + "' begins with one dash, expected two");
      } else {
        rest_.push_back(word);
      }
    }
    refuse(faults_, "the command line");
    return std::move(rest_);
  }

 private:
  [[noreturn]] void show_help() {
    refuse(faults_, "the command line");
    std::cout << help(fields_) << std::flush;
    std::exit(0);
  }

  void option(const std::string& word) {
    const size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    std::optional<std::string> value;
    if (equals != std::string::npos) value = word.substr(equals + 1);
    auto field = find(fields_, name);
    if (!field && (name.starts_with("no-") || name.starts_with("no_"))) {
      field = find(fields_, name.substr(3));
      if (field) {
        if (!field->type->is_flag || value) {
          faults_.push_back("'--" + word + "': --no- switches an option off that is true or false, and takes no value");
          return;
        }
        value = "false";
      }
    }
    if (!field) {
      faults_.push_back(unknown(fields_, name));
      return;
    }
    if (!value) value = next_value(field->type->is_flag);
    if (!value) {
      faults_.push_back(field->name + ": no value, expected " + field->type->expected());
      return;
    }
    field->type->read({.kind = Kind::word, .text = *value}, field->field, field->name, faults_);
  }

  std::optional<std::string> next_value(bool is_flag) {
    const bool more = next_ < words_.size();
    if (is_flag) {
      if (more && (words_[next_] == "true" || words_[next_] == "false")) return words_[next_++];
      return "true";
    }
    if (!more || words_[next_].starts_with("--")) return std::nullopt;
    return words_[next_++];
  }

  const std::vector<OptionField>& fields_;
  std::vector<std::string> words_;
  size_t next_ = 0;
  std::vector<std::string> rest_;
  OptionFaults faults_;
};

}  // namespace

void read_members(const std::vector<OptionField>& members, const OptionValue& value, const std::string& name,
                  OptionFaults& faults) {
  const std::string prefix = name.empty() ? "" : name + ".";
  std::vector<const OptionField*> seen;
  for (const auto& [key, entry] : value.entries) {
    const auto found =
        std::find_if(members.begin(), members.end(), [&k = key](const auto& m) { return same(m.name, k); });
    if (found == members.end()) {
      if (key.find('.') != std::string::npos && find(members, key)) {
        std::string fault = "'" + prefix;
        fault += key + "' has a dot, expected an object inside an object";
        faults.push_back(std::move(fault));
      } else {
        faults.push_back(unknown(members, key, prefix));
      }
    } else if (std::find(seen.begin(), seen.end(), &*found) != seen.end()) {
      faults.push_back(prefix + found->name + ": twice in one object, expected once");
    } else {
      seen.push_back(&*found);
      found->type->read(entry, found->field, prefix + found->name, faults);
    }
  }
}

OptionValue write_members(const std::vector<OptionField>& members) {
  OptionValue value{.kind = Kind::dictionary};
  for (const OptionField& member : members) value.entries.emplace_back(member.name, member.type->write(member.field));
  return value;
}

void set_option(const std::vector<OptionField>& fields, std::string_view name, std::string_view text) {
  OptionFaults faults;
  if (const auto field = find(fields, name)) {
    field->type->read({.kind = Kind::word, .text = std::string(text)}, field->field, field->name, faults);
  } else {
    faults.push_back(unknown(fields, std::string(name)));
  }
  refuse(faults, "");
}

std::vector<std::string> set_from_command_line(const std::vector<OptionField>& fields, int argc,
                                               const char* const* argv) {
  return CommandLine(fields, argc, argv).take();
}

void set_from_json_text(const std::vector<OptionField>& fields, std::string_view json, const std::string& where) {
  const OptionValue value = parse_option_json(json, where);
  if (value.kind != Kind::dictionary) {
    throw Error({.what = "options in JSON are one object",
                 .where = where,
                 .got = value.describe(),
                 .expected = R"({"name": value, ...})"});
  }
  OptionFaults faults;
  read_members(fields, value, "", faults);
  refuse(faults, where);
}

void set_from_json(const std::vector<OptionField>& fields, const std::filesystem::path& path) {
  const MappedFile file(path);
  const std::string_view json(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  set_from_json_text(fields, json, path.string());
}

std::string to_json(const std::vector<OptionField>& fields) { return write_option_json(write_members(fields)) + "\n"; }

std::vector<std::pair<std::string, std::string>> list(const std::vector<OptionField>& fields) {
  std::vector<std::pair<std::string, std::string>> lines;
  walk(fields, false,
       [&](const OptionField& field) { lines.emplace_back(field.name, as_text(field.type->write(field.field))); });
  return lines;
}

std::string help(const std::vector<OptionField>& fields) {
  struct Line {
    std::string name, value, text;
  };
  constexpr size_t widest = 32;
  std::vector<Line> lines;
  size_t name_width = 0;
  size_t value_width = 0;
  walk(fields, true, [&](const OptionField& field) {
    std::string text = field.type->expected();
    if (!field.description.empty()) text = field.description + " (" + text + ")";
    lines.push_back({"--" + field.name, as_text(field.type->write(field.field)), std::move(text)});
    name_width = std::min(std::max(name_width, lines.back().name.size()), widest);
    value_width = std::min(std::max(value_width, lines.back().value.size()), widest);
  });
  std::string help;
  for (Line& line : lines) {
    line.name.resize(std::max(name_width, line.name.size()), ' ');
    line.value.resize(std::max(value_width, line.value.size()), ' ');
    help += "  " + line.name + "  " + line.value + "  " + line.text + "\n";
  }
  return help;
}

}  // namespace athanor::detail
