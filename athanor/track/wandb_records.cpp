// SPDX-License-Identifier: Apache-2.0
// The numbers of the fields are those of wandb_internal.proto.
#include "athanor/track/wandb_records.hpp"

#include <algorithm>
#include <cmath>

#include "athanor/core/file.hpp"
#include "athanor/track/base64.hpp"
#include "athanor/track/digest.hpp"
#include "athanor/track/random_id.hpp"

namespace athanor::track {
namespace {

ProtobufMessage item_message(const std::string& key, const std::string& json) {
  ProtobufMessage item;
  item.bytes(1, key).bytes(16, json);
  return item;
}

ProtobufMessage in_record(uint32_t field, const ProtobufMessage& content) {
  ProtobufMessage record;
  record.message(field, content);
  return record;
}

void text_field(ProtobufMessage& message, uint32_t field, const std::string& text) {
  if (!text.empty()) message.bytes(field, text);
}

std::string client_id() { return random_text(128, "abcdefghijklmnopqrstuvwxyz0123456789"); }

}  // namespace

ProtobufMessage wandb_header() {
  ProtobufMessage version;
  version.bytes(1, "athanor").bytes(2, "0.40.0");
  return in_record(21, in_record(1, version));
}

ProtobufMessage wandb_run(const WandbRun& run) {
  ProtobufMessage content;
  content.bytes(1, run.id);
  text_field(content, 2, run.entity);
  content.bytes(3, run.project);
  ProtobufMessage config;
  for (const auto& [key, json] : run.config) config.message(1, item_message(key, json));
  content.message(4, config);
  text_field(content, 6, run.group);
  text_field(content, 8, run.name);
  for (const std::string& tag : run.tags) content.bytes(10, tag);
  text_field(content, 13, run.host);
  if (run.starting_step != 0) content.integer(14, run.starting_step);
  ProtobufMessage time;
  time.integer(1, static_cast<int64_t>(run.start));
  if (const double rest = std::floor((run.start - std::floor(run.start)) * 1e9); rest > 0) {
    time.integer(2, static_cast<int64_t>(rest));
  }
  content.message(17, time);
  if (run.resumed) content.integer(18, 1);
  return in_record(17, content);
}

ProtobufMessage wandb_history(int64_t step, const WandbItems& items) {
  ProtobufMessage content;
  for (const auto& [key, json] : items) content.message(1, item_message(key, json));
  ProtobufMessage number;
  number.integer(1, step);
  content.message(2, number);
  return in_record(2, content);
}

ProtobufMessage wandb_summary(const WandbItems& items) {
  ProtobufMessage content;
  for (const auto& [key, json] : items) content.message(1, item_message(key, json));
  return in_record(3, content);
}

ProtobufMessage wandb_files(const std::vector<std::string>& paths, bool media) {
  constexpr int64_t at_end = 1;
  constexpr int64_t of_wandb = 1;
  constexpr int64_t of_media = 2;
  ProtobufMessage content;
  for (const std::string& path : paths) {
    ProtobufMessage item;
    item.bytes(1, path);
    if (!media) item.integer(2, at_end);
    item.integer(3, media ? of_media : of_wandb);
    content.message(1, item);
  }
  return in_record(6, content);
}

ProtobufMessage wandb_exit(int exit_code, int64_t seconds) {
  ProtobufMessage content;
  content.integer(1, exit_code).integer(2, seconds);
  return in_record(18, content);
}

ProtobufMessage wandb_artifact(const WandbRun& run, const std::string& type, const std::string& name,
                               const std::vector<WandbArtifactFile>& files) {
  ProtobufMessage manifest;
  manifest.integer(1, 1).bytes(2, "wandb-storage-policy-v1");
  ProtobufMessage policy;
  policy.bytes(1, "storageLayout").bytes(2, "\"V2\"");
  manifest.message(3, policy);
  std::vector<std::string> lines;
  for (const WandbArtifactFile& file : files) {
    const MappedFile mapped(file.path);
    mapped.advise_sequential();
    const auto bytes = mapped.bytes();
    Md5 md5;
    md5.add({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    const std::string digest = base64(md5.finish());
    ProtobufMessage entry;
    entry.bytes(1, file.name).bytes(2, digest).integer(4, static_cast<int64_t>(bytes.size()));
    entry.bytes(6, std::filesystem::absolute(file.path).lexically_normal().string());
    manifest.message(4, entry);
    lines.push_back(file.name + ":" + digest + "\n");
  }
  std::sort(lines.begin(), lines.end());
  Md5 all;
  all.add("wandb-artifact-manifest-v1\n");
  for (const std::string& line : lines) all.add(line);
  ProtobufMessage content;
  content.bytes(1, run.id).bytes(2, run.project);
  text_field(content, 3, run.entity);
  content.bytes(4, type).bytes(5, name).bytes(6, hex_text(all.finish())).integer(9, 1).bytes(11, "latest");
  content.message(12, manifest).integer(14, 1).bytes(15, client_id()).bytes(16, client_id());
  content.bytes(20, "MANIFEST_MD5");
  return in_record(8, content);
}

}  // namespace athanor::track
