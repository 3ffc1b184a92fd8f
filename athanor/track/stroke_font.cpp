// SPDX-License-Identifier: Apache-2.0
// Each glyph is a line of text: its width, then strokes. `-` begins a stroke of straight lines, `~` a round one, `o` a
// round and closed one, `.` a dot; then come places, a digit for x and one for y above the baseline (`a` and `b` are 1
// and 2 below it). Capitals are 7 high, small letters 5. A round stroke is a quadratic B-spline: it touches the middles
// between its inner places.
#include "athanor/track/stroke_font.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "athanor/core/utf8.hpp"

namespace athanor::draw {
namespace {

// From U+0021 to U+007E.
constexpr std::array<const char*, 94> ascii_glyphs{
    "0-0702.00", "2-0705-2725", "4-1017-3037-0242-0545", "4~4546060443410102-282a", "6o05252707o40606242-1057",
    "5~5015173735030040 53", "0-0705", "2~2806012a", "2~0826210a", "4-2723-0644-0446", "4-2125-0343", "1-100b",
    "3-0333", "0.00", "3-0a37", "4o0040434447070403-1136", "4-153730", "4~0607474400-0040", "4~0607474414~1444400001",
    "4-30370242", "4-470704~0445400001", "4o00404404~370702", "4-074710", "4o04444707o00404404", "4o03434707~104045",
    "0.00.04", "1.14-100b", "4-460340", "4-0242-0444", "4-064300", "4~060747442422.20", "7~6a0a0777715155o21515525",
    // capitals
    "4-002740-1333", "4-0007~0727474424 04~042444402000", "4~4647070403004041", "4-0007~07274744434020 00",
    "4-47070040-0434", "4-470700-0434", "4~4647070403004041-414323", "4-0007-4047-0444", "0-0007", "3~3732300001",
    "4-0007-4703-1440", "3-070030", "6-0007326760", "4-00074047", "4o0040434447070403", "4-0007~072747432303",
    "4o0040434447070403-2240", "4-0007~072747432303-2340", "4~4647070443400001", "4-0747-2720", "4~070300404347",
    "4-072047", "6-0720354067", "4-0047-0740", "4-072347-2320", "4-07470040",
    // [ \ ] ^ _ `
    "2-28080a2a", "3-073a", "2-08282a0a", "4-042744", "4-0a4a", "1-0817",
    // small letters
    "4~0405454340~43030030 41", "4-0700o00404505", "4~444505004041", "4-4740o00404505", "4-0343~434505004041",
    "3~37171410-0535", "4o00404505~45404b0b0a", "4-0700~0305454340", "0-0500.07", "1~15101b0b.17", "3-0700-3502-1330",
    "0-0700", "6-0500~0305353330~3335656360", "4-0500~0305454340", "4o00404505", "4-050bo00404505", "4-454bo00404505",
    "3-0500~030535", "3~3435050332300001", "3~17121030-0535", "4~0502004042-4540", "4-052045", "6-0520344065",
    "4-0540-0045", "4-0520-451b", "4-05450040",
    // { | } ~
    "3~38181403~03131a3a", "0-080a", "3~08282433~33232a0a", "5~03154153"};

constexpr const char* missing_glyph = "4-0007474000";
constexpr double gap_units = 1.75;

struct OtherGlyph {
  uint32_t code;
  const char* glyph;
};
constexpr OtherGlyph other_glyphs[] = {
    {0xB0, "2o05252707"},   {0xB1, "4-2226-0444-0040"}, {0xB5, "4-050b~0502004042-4540"},
    {0xB7, "0.03"},         {0xD7, "4-0145-0541"},      {0xDF, "4~0005074744 14~14444010"},
    {0x2013, "4-0343"},     {0x2014, "6-0363"},         {0x2019, "0-0705"},
    {0x2026, "4.00.20.40"}, {0x2192, "5-0353-315335"},  {0x2212, "4-0343"}};

// The letters of Latin-1 from U+00C0 on: base and mark; blank where there is none.
constexpr std::string_view latin_bases = "AAAAAA CEEEEIIII NOOOOO  UUUUY  aaaaaa ceeeeiiii nooooo  uuuuy y";
constexpr std::string_view latin_marks = "`'^~:0 ,`'^:`'^: ~`'^~:  `'^:'  `'^~:0 ,`'^:`'^: ~`'^~:  `'^:' :";

struct OpenStroke {
  char kind;
  std::vector<Place> places;  // in units, y upwards
};

struct OpenGlyph {
  double width = 0;
  std::vector<OpenStroke> strokes;
};

double unit_of(char c) { return c >= 'a' ? -1.0 - (c - 'a') : c - '0'; }

OpenGlyph open_glyph(std::string_view text) {
  OpenGlyph glyph{.width = unit_of(text.front()), .strokes = {}};
  text.remove_prefix(1);
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (c == ' ') {
      ++i;
    } else if (c == '-' || c == '~' || c == 'o' || c == '.') {
      glyph.strokes.push_back({c, {}});
      ++i;
    } else {
      glyph.strokes.back().places.push_back({unit_of(c), unit_of(text[i + 1])});
      i += 2;
    }
  }
  return glyph;
}

void add_mark(OpenGlyph& glyph, char mark, bool capital) {
  const double x = glyph.width / 2;
  const double y = capital ? 8 : 6;
  const auto add = [&](char kind, std::vector<Place> places) { glyph.strokes.push_back({kind, std::move(places)}); };
  if (mark == '`') add('-', {{x + 0.5, y}, {x - 0.7, y + 2}});
  if (mark == '\'') add('-', {{x - 0.5, y}, {x + 0.7, y + 2}});
  if (mark == '^') add('-', {{x - 1.2, y}, {x, y + 2}, {x + 1.2, y}});
  if (mark == '~') add('~', {{x - 2, y + 0.6}, {x - 1, y + 2}, {x + 1, y}, {x + 2, y + 1.4}});
  if (mark == '0') add('o', {{x - 1, y}, {x + 1, y}, {x + 1, y + 2}, {x - 1, y + 2}});
  if (mark == ',') add('~', {{x, 0}, {x + 1, -2}, {x - 1, -2}});
  if (mark == ':') {
    add('.', {{x - 1.2, y + 1}});
    add('.', {{x + 1.2, y + 1}});
  }
}

OpenGlyph glyph_of(uint32_t code) {
  if (code > 0x20 && code < 0x7F) return open_glyph(ascii_glyphs[code - 0x21]);
  for (const OtherGlyph& other : other_glyphs) {
    if (other.code == code) return open_glyph(other.glyph);
  }
  if (code >= 0xC0 && code < 0xC0 + latin_bases.size() && latin_bases[code - 0xC0] != ' ') {
    const char base = latin_bases[code - 0xC0];
    OpenGlyph glyph = base == 'i' ? open_glyph("0-0500") : open_glyph(ascii_glyphs[static_cast<size_t>(base - 0x21)]);
    add_mark(glyph, latin_marks[code - 0xC0], base < 'a');
    return glyph;
  }
  return open_glyph(missing_glyph);
}

void bend(std::vector<Place>& line, Place from, Place control, Place to) {
  constexpr int pieces = 6;
  for (int i = 1; i <= pieces; ++i) {
    const double t = static_cast<double>(i) / pieces;
    const double a = (1 - t) * (1 - t), b = 2 * t * (1 - t), c = t * t;
    line.push_back({a * from.x + b * control.x + c * to.x, a * from.y + b * control.y + c * to.y});
  }
}

Place middle(Place a, Place b) { return {(a.x + b.x) / 2, (a.y + b.y) / 2}; }

std::vector<Place> flatten(char kind, const std::vector<Place>& places) {
  if (kind == '-' || kind == '.' || places.size() < 3) return places;
  std::vector<Place> line;
  const size_t count = places.size();
  if (kind == 'o') {
    line.push_back(middle(places.back(), places.front()));
    for (size_t i = 0; i < count; ++i) bend(line, line.back(), places[i], middle(places[i], places[(i + 1) % count]));
    return line;
  }
  line.push_back(places.front());
  for (size_t i = 1; i + 1 < count; ++i) {
    bend(line, line.back(), places[i], i + 2 == count ? places.back() : middle(places[i], places[i + 1]));
  }
  return line;
}

}  // namespace

PenStrokes pen_strokes(std::string_view text, double size, bool bold) {
  PenStrokes strokes;
  const double across = 0.094 * size;
  const double up = 0.103 * size;
  strokes.pen = std::max(1.0, std::round(size * (bold ? 0.125 : 0.085)));
  const double half = std::fmod(strokes.pen, 2.0) == 1 ? 0.5 : 0;  // a stroke of an odd width lies within pixels
  const double gap = std::max(std::round(gap_units * across + (bold ? strokes.pen * 0.1 : 0)), 2.0);
  double left = 0;
  while (!text.empty()) {
    const auto [code, length] = first_character(text);
    text.remove_prefix(std::max<size_t>(length, 1));
    if (code == ' ' || code == 0xA0) {
      left += std::round(3.2 * across);
      continue;
    }
    const OpenGlyph glyph = glyph_of(code);
    const double width = std::round(glyph.width * across);
    const double scale = glyph.width > 0 ? width / glyph.width : across;
    for (const OpenStroke& stroke : glyph.strokes) {
      std::vector<Place> placed;
      for (size_t i = 0; i < stroke.places.size(); ++i) {
        const Place& place = stroke.places[i];
        const bool stem = (i > 0 && stroke.places[i - 1].x == place.x) ||
                          (i + 1 < stroke.places.size() && stroke.places[i + 1].x == place.x);
        const double x = stem ? std::round(place.x * scale) : place.x * scale;
        placed.push_back({left + x + half, -std::round(place.y * up) - half});
      }
      strokes.lines.push_back(flatten(stroke.kind, placed));
    }
    strokes.width = left + width + strokes.pen;
    left += width + strokes.pen - 1 + gap;
  }
  return strokes;
}

}  // namespace athanor::draw
