// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/report.hpp"

#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <ctime>
#include <thread>

#include "athanor/core/error.hpp"
#include "athanor/core/file.hpp"
#include "athanor/core/text.hpp"
#include "athanor/track/panel.hpp"
#include "athanor/track/picture.hpp"
#include "athanor/track/plot.hpp"
#include "athanor/track/points_format.hpp"
#include "athanor/track/svg.hpp"
#include "athanor/train/run_control.hpp"
#include "athanor/train/run_place.hpp"

namespace athanor::track {
namespace {

constexpr size_t most_report_rows = 2000;
constexpr size_t most_report_messages = 500;
constexpr std::array phase_colours = {"#2f74d0", "#1793ad", "#d9662b", "#cf3f68", "#9159c9", "#23966a",
                                      "#a87f1c", "#759328", "#b94fab", "#6d7684", "#98a1ad"};

constexpr const char* report_style = R"css(
:root{--ground:#f6f5f2;--card:#fff;--ink:#1d232b;--soft:#66707d;--line:#e4e2dc;--fire:#c2410c;color-scheme:light dark}
@media(prefers-color-scheme:dark){:root{--ground:#121417;--card:#1a1d22;--ink:#e8eaed;--soft:#9aa3af;--line:#2a2f36;--fire:#f0703c}}
*{box-sizing:border-box}
body{margin:0 auto;padding:32px 20px 60px;max-width:1040px;background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif;font-variant-numeric:tabular-nums}
h1{font-size:26px;margin:0;letter-spacing:-.01em;overflow-wrap:anywhere}
h2{font-size:17px;margin:34px 0 10px}
p{margin:6px 0}
.soft{color:var(--soft)}
.facts{display:flex;flex-wrap:wrap;gap:10px;margin:20px 0}
.facts div{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:10px 16px;flex:1 1 140px;min-width:0}
.facts b{display:block;font-size:19px;font-weight:600;overflow-wrap:anywhere}
.facts span{color:var(--soft);font-size:13px}
.scroll{overflow:auto;max-height:560px;border:1px solid var(--line);border-radius:10px;background:var(--card)}
table{border-collapse:collapse;width:100%}
th,td{padding:5px 14px;text-align:right;white-space:nowrap;border-bottom:1px solid var(--line)}
th{position:sticky;top:0;background:var(--card);font-weight:500;color:var(--soft)}
#layers th:nth-child(-n+3),#layers td:nth-child(-n+3){text-align:left}
tr.best td{color:var(--fire);font-weight:600}
svg{max-width:100%;height:auto;display:block}
dl{display:grid;grid-template-columns:minmax(120px,max-content) 1fr;gap:3px 20px;margin:0}
dt{color:var(--soft);overflow-wrap:anywhere}dd{margin:0;overflow-wrap:anywhere}
pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:13px;margin:0}
.warning{color:#b7791f}
@media print{.scroll{max-height:none}}
)css";

/// HTML written as SVG is: elements with escaped text. Elements without content are closed by a tag of their own.
class Html {
 public:
  Html& raw(std::string_view text) {
    document_ += text;
    return *this;
  }
  Html& text(const char* tag, std::string_view content, std::string_view attributes = {}) {
    document_.append("<").append(tag).append(attributes).append(">").append(svg::escape(content));
    document_.append("</").append(tag).append(">\n");
    return *this;
  }
  Html& lines(const char* tag, std::string_view content, std::string_view attributes = {}) {
    document_.append("<").append(tag).append(attributes).append(">");
    for (size_t begin = 0; begin <= content.size();) {
      const size_t end = std::min(content.find('\n', begin), content.size());
      if (begin > 0) document_ += '\n';
      document_ += svg::escape(content.substr(begin, end - begin));
      begin = end + 1;
    }
    document_.append("</").append(tag).append(">\n");
    return *this;
  }
  [[nodiscard]] std::string take() { return std::move(document_); }

 private:
  std::string document_;
};

using Facts = std::vector<std::pair<std::string, std::string>>;

void put_facts(Html& html, const char* title, const Facts& facts) {
  html.text("h2", title).raw("<dl>\n");
  for (const auto& [name, value] : facts) {
    if (!value.empty()) html.text("dt", name).text("dd", value);
  }
  html.raw("</dl>\n");
}

std::string local_day_and_time() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm parts{};
  ::localtime_r(&now, &parts);
  std::array<char, 64> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M", &parts);
  return text.data();
}

std::string with_groups(int64_t number) {
  const std::string digits = std::to_string(number);
  std::string text;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

Facts environment_of(const ReportFacts& facts) {
  utsname system{};
  ::uname(&system);
  return {{"device", facts.device},
          {"threads in operators", facts.threads > 0 ? std::to_string(facts.threads) : ""},
          {"processors", std::to_string(std::thread::hardware_concurrency())},
          {"seed", std::to_string(facts.seed)},
          {"LibTorch", libtorch_version()},
          {"compiler", __VERSION__},
          {"system", std::string(system.sysname) + " " + system.release + ", " + system.machine},
          {"host", system.nodename},
          {"process", std::to_string(::getpid())}};
}

std::vector<std::string> columns_of(const History& history) {
  std::vector<std::string> columns = history.names();
  for (const auto& epoch : history.epochs()) {
    for (const auto& [name, value] : epoch.settings) {
      if (std::find(columns.begin(), columns.end(), name) == columns.end()) columns.push_back(name);
    }
  }
  return columns;
}

void put_table(Html& html, const History& history) {
  const std::vector<std::string> columns = columns_of(history);
  const auto& epochs = history.epochs();
  const size_t stride = (epochs.size() + most_report_rows - 1) / most_report_rows;
  html.text("h2", "Epochs");
  if (stride > 1) html.text("p", "One row in " + std::to_string(stride) + " is shown.", " class=\"soft\"");
  html.raw("<div class=\"scroll\"><table id=\"epochs\">\n<thead><tr>").text("th", "epoch").text("th", "steps");
  html.text("th", "time");
  for (const std::string& name : columns) html.text("th", name);
  html.raw("</tr></thead>\n<tbody>\n");
  const auto& best = history.best();
  for (size_t i = 0; i < epochs.size(); ++i) {
    const History::Epoch& epoch = epochs[i];
    const bool is_best = best && best->epoch == epoch.number && epoch.part >= 1;
    if (i % stride != 0 && !is_best && i + 1 != epochs.size()) continue;
    html.raw(is_best ? "<tr class=\"best\">" : "<tr>");
    html.text("td", format_number(epoch.progress(), 2)).text("td", std::to_string(epoch.steps));
    html.text("td", format_seconds(epoch.seconds));
    for (const std::string& name : columns) {
      auto value = epoch.values.find(name);
      if (!value) value = epoch.settings.find(name);
      html.text("td", value ? format_number(*value) : "", value ? " title=\"" + shortest(*value) + "\"" : "");
    }
    html.raw("</tr>\n");
  }
  html.raw("</tbody></table></div>\n");
}

std::vector<std::string> cells_of_row(const std::string& line) {
  std::vector<std::string> cells;
  for (size_t begin = line.find('|'); begin != std::string::npos && begin + 1 < line.size();) {
    const size_t end = std::min(line.find('|', begin + 1), line.size());
    std::string cell = line.substr(begin + 1, end - begin - 1);
    cell.erase(0, cell.find_first_not_of(' '));
    cell.erase(cell.find_last_not_of(' ') + 1);
    cells.push_back(std::move(cell));
    begin = end;
  }
  return cells;
}

/// A Markdown table; its second line, the ruler, is left out.
void put_layers(Html& html, const std::string& markdown) {
  html.text("h2", "Layers").raw("<div class=\"scroll\"><table id=\"layers\">\n");
  size_t number = 0;
  for (size_t begin = 0; begin < markdown.size(); ++number) {
    const size_t end = std::min(markdown.find('\n', begin), markdown.size());
    const std::string line = markdown.substr(begin, end - begin);
    begin = end + 1;
    if (number == 1) continue;
    html.raw("<tr>");
    for (const std::string& cell : cells_of_row(line)) html.text(number == 0 ? "th" : "td", cell);
    html.raw("</tr>\n");
  }
  html.raw("</table></div>\n");
}

void put_fact(Html& html, const std::string& name, const std::string& value) {
  html.raw("<div>").text("b", value).text("span", name).raw("</div>\n");
}

void put_summary(Html& html, const History& history, const ReportFacts& facts) {
  html.raw("<div class=\"facts\">\n");
  if (const auto& best = history.best(); best && best->epoch > 0) {
    put_fact(html, "best " + best->monitor + ", epoch " + std::to_string(best->epoch), format_number(best->value));
  }
  if (!history.empty()) {
    put_fact(html, "epochs", format_number(history.last().progress(), 2));
    put_fact(html, "steps", with_groups(history.last().steps));
  }
  if (facts.seconds > 0) put_fact(html, "time", format_seconds(facts.seconds));
  if (facts.parameters > 0) put_fact(html, "parameters", with_groups(facts.parameters));
  html.raw("</div>\n");
}

/// Remembers what the events say and writes the report at the end.
class Report : public Listener, public Steering {
 public:
  explicit Report(ReportOptions options) : options_(std::move(options)) {}
  [[nodiscard]] std::string name() const override { return "the report"; }

  void on_run_begin(const events::RunBegin& run) override {
    control_.reset();
    path_.reset();
    if (!options_.path && !run.folder) {
      throw Error({.what = "the report needs a file",
                   .where = "ReportOptions::path",
                   .todo = "give it, or a folder to the run, where it will be report.html"});
    }
    path_ = options_.path.value_or(run.folder.value_or("") / "report.html");
    history_ = run.history;
    begun_ = std::chrono::steady_clock::now();
    facts_ = {.title = run.folder ? run.folder->filename().string() : "Training",
              .device = run.device,
              .threads = run.threads,
              .seed = run.seed,
              .parameters = run.parameters,
              .options = run.options,
              .notes = run.notes};
  }
  void take_control(std::shared_ptr<RunControl> control) override { control_ = std::move(control); }
  void on_message(const events::Message& message) override {
    if (facts_.messages.size() >= most_report_messages) return;
    if (message.text.find(page_token_mark) != std::string::npos) return;
    facts_.messages.emplace_back(message.level == events::Message::Level::warning, message.text);
  }
  void on_media(const events::Media& media) override {
    const auto* text = std::get_if<events::Text>(&media.content);
    if (text != nullptr && media.name == "summary") facts_.layers = text->markdown;
  }
  void on_run_end(const events::RunEnd& end) override {
    facts_.seconds = end.seconds;
    facts_.verdict = end.time_verdict;
    write(end.history);
  }
  void on_run_broken(const events::RunBroken& broken) override {
    facts_.outcome = "broken off: " + broken.reason;
    facts_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun_).count();
    if (history_ != nullptr) write(*history_);
  }

 private:
  void write(const History& history) {
    const std::shared_ptr<RunControl> control = std::exchange(control_, nullptr);
    if (!path_) return;
    if (const StepTimes* times = control == nullptr ? nullptr : control->step_times()) facts_.times = *times;
    write_file_atomically(*path_, report_html(history, facts_));
    if (facts_.times && facts_.times->total_seconds() > 0) {
      write_file_atomically(path_->parent_path() / "times.svg", times_svg(*facts_.times));
    }
  }

  ReportOptions options_;
  std::optional<std::filesystem::path> path_;
  const History* history_ = nullptr;
  std::chrono::steady_clock::time_point begun_;
  ReportFacts facts_;
  std::shared_ptr<RunControl> control_;
};

}  // namespace

std::string times_svg(const StepTimes& times) {
  constexpr double width = 760;
  constexpr double row = 24;
  const double total = times.total_seconds();
  std::vector<StepPhase> phases;
  for (int i = 0; i < static_cast<int>(StepPhase::count_); ++i) {
    if (total > 0 && times.share(static_cast<StepPhase>(i)) >= 0.001) phases.push_back(static_cast<StepPhase>(i));
  }
  svg::Writer out;
  const double height = plot::header_height + static_cast<double>(phases.size()) * row + 20;
  plot::open_picture(
      out, width, height, "Where the time went",
      std::to_string(times.steps()) + " steps, " + format_number(times.samples_per_second(), 1) + " samples a second");
  double y = plot::header_height;
  for (const StepPhase phase : phases) {
    const double share = times.share(phase);
    plot::draw_label(out, plot::page_margin, y + 13, "start", name_of(phase), 12, plot::palette::ink, 100);
    out.element("rect", {{"x", 130.0},
                         {"y", y + 2},
                         {"width", std::max(share * 440, 1.0)},
                         {"height", row - 10},
                         {"rx", 2.0},
                         {"fill", phase_colours[static_cast<size_t>(phase) % phase_colours.size()]}});
    const double seconds = times.seconds(phase);
    const std::string label = format_number(100 * share, 1) + " %   " +
                              (seconds >= 60 ? format_seconds(seconds) : format_number(seconds, 2) + " s");
    plot::draw_label(out, width - plot::page_margin, y + 13, "end", label, 12, plot::palette::soft_ink, 160);
    y += row;
  }
  return out.finish();
}

std::string report_html(const History& history, const ReportFacts& facts) {
  Html html;
  html.raw(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
  html.text("title", facts.title + " · Athanor").raw("<style>").raw(report_style).raw("</style>\n</head>\n<body>\n");
  html.text("h1", facts.title);
  const std::string outcome = facts.outcome.empty() ? history.stop_reason() : facts.outcome;
  html.lines("p", outcome.empty() ? local_day_and_time() : outcome + " · " + local_day_and_time(), " class=\"soft\"");
  put_summary(html, history, facts);
  if (!history.empty()) {
    html.text("h2", "Curves").raw(plot_svg(history, {.title = facts.title, .max_points = 800}));
    put_table(html, history);
  }
  if (!facts.layers.empty()) put_layers(html, facts.layers);
  if (facts.times && facts.times->total_seconds() > 0) {
    html.text("h2", "Where the time went").raw(times_svg(*facts.times));
  }
  const std::string verdict = facts.verdict.empty() && facts.times ? facts.times->verdict() : facts.verdict;
  if (!verdict.empty()) html.text("p", verdict);
  if (!facts.options.empty()) put_facts(html, "Options", facts.options);
  put_facts(html, "Environment", environment_of(facts));
  if (!facts.notes.empty()) html.text("h2", "Notes");
  for (const std::string& note : facts.notes) html.lines("p", note);
  if (!facts.messages.empty()) html.text("h2", "Messages");
  for (const auto& [is_warning, text] : facts.messages) {
    html.lines("pre", text, is_warning ? " class=\"warning\"" : "");
  }
  html.raw("</body>\n</html>\n");
  return html.take();
}

std::shared_ptr<Listener> report(ReportOptions options) { return std::make_shared<Report>(std::move(options)); }

}  // namespace athanor::track
