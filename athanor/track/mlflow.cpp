// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/mlflow.hpp"

#include <fstream>
#include <utility>

#include "athanor/core/error.hpp"
#include "athanor/core/file.hpp"
#include "athanor/core/text.hpp"
#include "athanor/track/listener_thread.hpp"
#include "athanor/track/mlflow_folder.hpp"
#include "athanor/track/mlflow_records.hpp"
#include "athanor/track/mlflow_server.hpp"

namespace athanor::track {
namespace {

std::string records_text(int64_t count) { return std::to_string(count) + (count == 1 ? " record" : " records"); }

class SpooledSink : public MlflowSink {
 public:
  SpooledSink(std::string url, const std::filesystem::path& folder, const MlflowOptions& options)
      : url_(std::move(url)), limit_(options.end_limit), spool_(std::make_shared<Spool>(folder, options.spool_bytes)) {
    write_file_atomically(folder / "service.json", Json({{"service", "mlflow"}, {"url", url_}}).dump() + "\n");
    sender_ =
        std::make_unique<SpoolSender>(spool_, std::make_shared<MlflowServer>(url_, folder, options.silence),
                                      SenderOptions{.every = options.send_every, .first_pause = options.first_pause});
  }

  void put(const Json& record, Spool::Need need) override {
    spool_->append(record.dump(-1, ' ', false, Json::error_handler_t::replace), need);
  }
  void close() override {
    sender_->finish(limit_);
    const std::lock_guard lock(mutex_);
    standing_ = sender_->standing();
    sender_.reset();
    closed_ = true;
  }
  [[nodiscard]] std::string remark() const override {
    const std::lock_guard lock(mutex_);
    if (!closed_) return {};
    std::string text;
    if (standing_.waiting > 0) {
      text = records_text(standing_.waiting) + " could not be sent to " + url_ +
             (standing_.problem.empty() ? "" : " (" + standing_.problem + ")") + " and " +
             (standing_.waiting == 1 ? "waits" : "wait") + " in " + spool_->folder().string() +
             "; the next run in this folder sends them, or athanor::track::send_spool(\"" + spool_->folder().string() +
             "\")";
    }
    if (standing_.refused > 0) {
      text += (text.empty() ? "" : "; ") + url_ + " refused " + records_text(standing_.refused) + " (" +
              standing_.refusal + ")";
    }
    if (standing_.dropped > 0) {
      text += (text.empty() ? "" : "; ") + ("the spool was full and dropped " + records_text(standing_.dropped));
    }
    return text;
  }

 private:
  std::string url_;
  std::chrono::milliseconds limit_;
  std::shared_ptr<Spool> spool_;
  std::unique_ptr<SpoolSender> sender_;
  mutable std::mutex mutex_;
  SpoolSender::Standing standing_;
  bool closed_ = false;
};

/// A listener on a thread of its own whose remark is also that of what it hides.
class RemarkingThread : public ListenerThread {
 public:
  RemarkingThread(std::shared_ptr<Listener> listener, ThreadOptions options)
      : ListenerThread(listener, options), listener_(std::move(listener)) {}
  [[nodiscard]] std::string remark() const override {
    std::string text = ListenerThread::remark();
    const std::string further = listener_->remark();
    return text.empty() || further.empty() ? text + further : text + "; " + further;
  }

 private:
  std::shared_ptr<Listener> listener_;
};

std::filesystem::path folder_of_url(const std::string& url) {
  std::string path = url.substr(std::string_view("file:").size());
  if (path.starts_with("//")) path.erase(0, 2);
  if (path.empty()) throw Error({.what = "this names no folder", .got = url, .expected = "file:mlruns"});
  return path;
}

}  // namespace

std::shared_ptr<Listener> mlflow(std::string url, MlflowOptions options) {
  MlflowSinks sinks;
  if (url.starts_with("file:")) {
    sinks = [root = folder_of_url(url)](const std::filesystem::path& folder) {
      return std::make_unique<MlflowFolder>(root, folder);
    };
  } else {
    const HttpClient checked(url);
    sinks = [url = std::move(url), options](const std::filesystem::path& folder) {
      return std::make_unique<SpooledSink>(url, folder, options);
    };
  }
  const size_t bytes = options.queue_bytes;
  return std::make_shared<RemarkingThread>(std::make_shared<MlflowRecorder>(std::move(options), std::move(sinks)),
                                           ThreadOptions{.bytes = bytes});
}

SpoolReport send_spool(const std::filesystem::path& folder, std::chrono::milliseconds limit) {
  const std::filesystem::path place =
      std::filesystem::is_regular_file(folder / "service.json") ? folder : folder / "mlflow";
  std::ifstream stream(place / "service.json");
  const Json service = Json::parse(stream, nullptr, /*allow_exceptions=*/false);
  if (!service.is_object() || !service.contains("url") || !service["url"].is_string()) {
    throw Error({.what = "there is no spool in this folder",
                 .where = "send_spool",
                 .got = folder.string(),
                 .expected = "the folder of a run with a tracker over the network, or its folder mlflow"});
  }
  const auto spool = std::make_shared<Spool>(place);
  const int64_t before = spool->waiting();
  SpoolSender sender(spool,
                     std::make_shared<MlflowServer>(service["url"].get<std::string>(), place, std::chrono::seconds(20)),
                     {.every = std::chrono::milliseconds(0)});
  sender.finish(limit);
  const SpoolSender::Standing standing = sender.standing();
  return {.sent = before - standing.waiting - standing.refused,
          .waiting = standing.waiting,
          .refused = standing.refused,
          .problem = standing.problem.empty() ? standing.refusal : standing.problem};
}

}  // namespace athanor::track
