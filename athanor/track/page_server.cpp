// SPDX-License-Identifier: Apache-2.0
// What a browser asks for, and what it gets.
#include "athanor/track/page_server.hpp"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>

#include "athanor/core/error.hpp"
#include "athanor/track/bounded_server.hpp"
#include "athanor/track/page_files.hpp"
#include "athanor/track/page_query.hpp"
#include "athanor/track/points_format.hpp"

namespace athanor::track {
namespace {

constexpr int ports_to_try = 20;
constexpr size_t page_threads = 24;
constexpr int most_streams = 12;
constexpr uint64_t no_number = UINT64_MAX;
constexpr auto page_tick = std::chrono::milliseconds(250);
constexpr auto page_heartbeat = std::chrono::seconds(5);

std::string make_secret() {
  std::random_device device;
  std::string text;
  for (int i = 0; i < 4; ++i) {
    char digits[16];
    std::snprintf(digits, sizeof digits, "%08x", device());
    text += digits;
  }
  return text;
}

std::string json_text(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else {
      out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return out + '"';
}

/// Puts back what the library does to the process: httplib ignores SIGPIPE for everybody.
class KeepSigpipe {
 public:
  KeepSigpipe() { ::sigaction(SIGPIPE, nullptr, &before_); }
  ~KeepSigpipe() { ::sigaction(SIGPIPE, &before_, nullptr); }
  KeepSigpipe(const KeepSigpipe&) = delete;
  KeepSigpipe& operator=(const KeepSigpipe&) = delete;

 private:
  struct sigaction before_ {};
};

}  // namespace

struct PageServer::Impl {
  explicit Impl(PageServerOptions given) : options(std::move(given)), store(options.runs) {}

  PageServerOptions options;
  RunStore store;
  std::string token = make_secret();
  std::string boot = make_secret();
  int port = 0;
  std::unique_ptr<httplib::Server> server;
  std::thread thread;
  std::mutex mutex;
  std::condition_variable ending;
  bool stopping = false;
  std::atomic<int> streams = 0;
  std::atomic<bool> listening_ended = false;

  std::string state(uint64_t version) {
    std::string live = "null";
    if (const auto folder = options.live ? options.live() : std::nullopt) {
      if (const size_t run = store.find(*folder); run < store.size()) live = std::to_string(run);
    }
    return "{\"boot\":" + json_text(boot) + ",\"version\":" + std::to_string(version) +
           ",\"folder\":" + json_text(options.runs.folder.string()) + ",\"live\":" + live + "}";
  }

  void bind() {
    server->set_socket_options([](socket_t socket) {
      // Not SO_REUSEPORT, which would share a port that another program of this user serves.
      const int yes = 1;
      ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    });
    for (int i = 0; options.port > 0 && i < ports_to_try && port == 0 && options.port + i < 65536; ++i) {
      if (server->bind_to_port("127.0.0.1", options.port + i)) port = options.port + i;
    }
    if (port == 0) port = server->bind_to_any_port("127.0.0.1");
    if (port <= 0) {
      throw Error({.what = "the live page gets no port",
                   .where = "127.0.0.1",
                   .got = std::to_string(options.port) + " and those after it are taken",
                   .todo = "give a port that is free"});
    }
  }

  void guard() {
    server->set_pre_routing_handler([](const httplib::Request& request, httplib::Response& response) {
      const bool foreign = !is_own_host(request.get_header_value("Host"));
      const std::string origin = request.get_header_value("Origin");
      const size_t host = origin.find("://");
      const bool from_elsewhere =
          !origin.empty() && (host == std::string::npos || !is_own_host(std::string_view(origin).substr(host + 3)));
      if (!foreign && !from_elsewhere) return httplib::Server::HandlerResponse::Unhandled;
      response.status = 403;
      response.set_content("This page answers to localhost only.\n", "text/plain");
      return httplib::Server::HandlerResponse::Handled;
    });
    server->set_exception_handler([](const httplib::Request&, httplib::Response& response, std::exception_ptr) {
      response.status = 500;
      response.set_content("The server could not answer this.\n", "text/plain");
    });
    server->set_default_headers({{"X-Content-Type-Options", "nosniff"},
                                 {"X-Frame-Options", "DENY"},
                                 {"Referrer-Policy", "no-referrer"},
                                 {"Cross-Origin-Resource-Policy", "same-origin"},
                                 {"Cache-Control", "no-store"},
                                 {"Content-Security-Policy",
                                  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
                                  "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"}});
    server->set_payload_max_length(4096);
    server->set_keep_alive_timeout(1);
    server->set_keep_alive_max_count(1000);
    server->set_read_timeout(2);
    server->set_write_timeout(2);
    server->new_task_queue = [] { return new httplib::ThreadPool(page_threads); };
  }

  void serve_files() {
    for (const char* name : {"page.html", "page.css", "uplot.css", "uplot.js", "basics.js", "curves.js", "runs.js",
                             "details.js", "page.js"}) {
      const std::string_view text = name;
      const std::string path = text == "page.html" ? "/" : "/" + std::string(text);
      const char* const type = text.ends_with(".js")    ? "text/javascript; charset=utf-8"
                               : text.ends_with(".css") ? "text/css; charset=utf-8"
                                                        : "text/html; charset=utf-8";
      server->Get(path, [text, type](const httplib::Request&, httplib::Response& response) {
        const std::string_view content = page_file(text);
        response.set_content(content.data(), content.size(), type);
      });
    }
  }

  void serve_answers() {
    static constexpr const char* json = "application/json";
    server->Get("/api/state", [this](const httplib::Request&, httplib::Response& response) {
      response.set_content(state(store.look()), json);
    });
    server->Get("/api/runs", [this](const httplib::Request& request, httplib::Response& response) {
      store.look();
      response.set_content(store.runs_json(page_number(request.params, "since", 0)), json);
    });
    server->Get("/api/run", [this](const httplib::Request& request, httplib::Response& response) {
      store.look();
      const std::string answer = store.run_json(page_number(request.params, "run", no_number));
      if (answer.empty()) {
        response.status = 404;
        response.set_content("{}", json);
      } else {
        response.set_content(answer, json);
      }
    });
    server->Get("/api/curves", [this](const httplib::Request& request, httplib::Response& response) {
      store.look();
      response.set_content(store.curves_json(curves_query(request.params)), json);
    });
    server->Get("/api/picture", [this](const httplib::Request& request, httplib::Response& response) {
      const std::string png = store.picture(page_number(request.params, "run", no_number),
                                            page_number(request.params, "picture", no_number));
      if (png.empty()) {
        response.status = 404;
      } else {
        response.set_content(png, "image/png");
      }
    });
    server->Get("/api/events", [this](const httplib::Request&, httplib::Response& response) {
      if (streams.fetch_add(1) >= most_streams) {
        streams -= 1;
        response.status = 503;
        return;
      }
      const auto sent = std::make_shared<std::string>();
      response.set_chunked_content_provider(
          "text/event-stream",
          [this, sent](size_t, httplib::DataSink& sink) {
            // Here httplib catches nothing, and what leaves a thread ends the program.
            try {
              return stream(*sent, sink);
            } catch (...) {
              return false;
            }
          },
          [this](bool) { streams -= 1; });
    });
  }

  /// Waits until there is something to tell, or for a heartbeat, by which a page that has gone is noticed.
  bool stream(std::string& sent, httplib::DataSink& sink) {
    const auto begun = std::chrono::steady_clock::now();
    for (;;) {
      std::string now = state(store.look());
      if (now != sent) {
        const std::string text = "data: " + now + "\n\n";
        sent = std::move(now);
        return sink.write(text.data(), text.size());
      }
      {
        std::unique_lock lock(mutex);
        if (ending.wait_for(lock, page_tick, [this] { return stopping; })) return false;
      }
      if (std::chrono::steady_clock::now() - begun >= page_heartbeat) return sink.write(":\n\n", 3);
    }
  }

  void serve_actions() {
    const auto on = [this](PageAction action) {
      return [this, action](const httplib::Request& request, httplib::Response& response) {
        PageAnswer answer;
        if (!same_secret(request.get_header_value("X-Athanor-Token"), token)) {
          response.status = 403;
          answer.text = "The token is missing or wrong. Open the address that the terminal shows.";
        } else if (!options.act) {
          response.status = 409;
          answer.text = "This page only watches.";
        } else {
          answer = options.act(action);
          response.status = answer.done ? 200 : 409;
        }
        response.set_content(
            "{\"done\":" + std::string(answer.done ? "true" : "false") + ",\"text\":" + json_text(answer.text) + "}",
            "application/json");
      };
    };
    server->Post("/api/stop", on(PageAction::stop));
    server->Post("/api/save", on(PageAction::save));
  }

  void start() {
    {
      const KeepSigpipe sigpipe;
      server = std::make_unique<BoundedServer>();
    }
    guard();
    bind();
    serve_files();
    serve_answers();
    serve_actions();
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread = std::thread([this] {
      ::setpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)), 5);
      try {
        server->listen_after_bind();
      } catch (...) {  // no threads to be had: there is no page, and the run goes on
      }
      listening_ended = true;
    });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    // A server that is stopped before it runs would never stop.
    while (!server->is_running() && !listening_ended) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

  void stop() {
    if (!thread.joinable()) return;
    {
      const std::lock_guard lock(mutex);
      stopping = true;
    }
    ending.notify_all();
    server->stop();
    thread.join();
  }
};

PageServer::PageServer(PageServerOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {
  impl_->start();
}
PageServer::~PageServer() { impl_->stop(); }
int PageServer::port() const noexcept { return impl_->port; }
const std::string& PageServer::token() const noexcept { return impl_->token; }
RunStore& PageServer::runs() noexcept { return impl_->store; }
std::string PageServer::url() const {
  const std::string address = "http://127.0.0.1:" + std::to_string(impl_->port) + "/";
  return impl_->options.act ? address + page_token_mark + impl_->token : address;
}

}  // namespace athanor::track
