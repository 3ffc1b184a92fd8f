// SPDX-License-Identifier: Apache-2.0
// The server of the live page: what it answers, and to whom it doesn't.
#include "athanor/track/page_server.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <chrono>
#include <list>
#include <nlohmann/json.hpp>
#include <thread>

#include "athanor/track/points_file.hpp"
#include "tests/track/http.hpp"
#include "tests/track/tracking.hpp"

namespace athanor::testing::page_server_test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using track::is_own_host;
using track::PageAction;
using track::PageServer;
using track::PageServerOptions;
using track::PointsWriter;
using track::same_secret;
namespace fs = std::filesystem;

/// A folder with two runs, one of them with a name that would be markup.
class Runs {
 public:
  Runs() {
    for (const char* name : {"first", odd}) {
      PointsWriter writer;
      fs::create_directory(folder_.path() / name);
      ScriptedRun(folder_.path() / name).tell(writer);
    }
  }
  static constexpr const char* odd = "<img src=x onerror=alert(1)> größe \"x\"";
  [[nodiscard]] const fs::path& path() const { return folder_.path(); }
  [[nodiscard]] PageServerOptions options() const {
    return {.runs = {.folder = path(), .look_every = std::chrono::milliseconds(0)}, .port = 0};
  }

 private:
  TemporaryFolder folder_;
};

json runs_of(const PageServer& server) { return json::parse(http_get(server.port(), "/api/runs").body)["runs"]; }

int number_of(const PageServer& server, const std::string& name) {
  for (const json& run : runs_of(server)) {
    if (run["name"] == name) return run["run"];
  }
  return -1;
}

TEST(PageServer, ServesThePageFromTheBinary) {
  const Runs runs;
  const PageServer server(runs.options());
  const HttpAnswer page = http_get(server.port(), "/");
  EXPECT_EQ(page.status, 200);
  EXPECT_THAT(page.body, HasSubstr("<title>Athanor</title>"));
  EXPECT_THAT(page.headers, HasSubstr("default-src 'none'; script-src 'self'"));
  EXPECT_THAT(page.headers, HasSubstr("nosniff"));
  EXPECT_THAT(http_get(server.port(), "/page.js").body, HasSubstr("\"use strict\";"));
  EXPECT_THAT(http_get(server.port(), "/page.css").body, HasSubstr("--ground"));
  // Nothing is asked of another machine.
  for (const char* file : {"/", "/page.css", "/basics.js", "/curves.js", "/runs.js", "/details.js", "/page.js"}) {
    std::string text = http_get(server.port(), file).body;
    for (const char* name : {"http://www.w3.org/2000/svg", "xmlns='http://www.w3.org/2000/svg'"}) {
      for (size_t at = text.find(name); at != std::string::npos; at = text.find(name)) text.erase(at, 20);
    }
    EXPECT_THAT(text, Not(HasSubstr("https://"))) << file;
    EXPECT_THAT(text, Not(HasSubstr("http://"))) << file;
    EXPECT_THAT(text, Not(HasSubstr("innerHTML"))) << file;
  }
}

TEST(PageServer, TellsRunsWithNamesAsTheyAre) {
  const Runs runs;
  const PageServer server(runs.options());
  const int number = number_of(server, Runs::odd);
  ASSERT_GE(number, 0);
  const HttpAnswer answer = http_get(server.port(), "/api/run?run=" + std::to_string(number));
  EXPECT_THAT(answer.headers, HasSubstr("application/json"));
  const json run = json::parse(answer.body);
  EXPECT_EQ(run["name"], Runs::odd);
  EXPECT_EQ(run["options"][3], json({"a|b", "1\n2"}));
  EXPECT_EQ(run["messages"][0]["text"], "größe, \"wow\" 1");
  EXPECT_EQ(run["best"]["value"], 0.375);
  EXPECT_EQ(run["best"]["step"], 120);
  EXPECT_EQ(run["values"][3], json({"clean_loss", "NaN"}));
  EXPECT_EQ(run["values"][4], json({"odd", "-Infinity"}));
  EXPECT_EQ(http_get(server.port(), "/api/run?run=2").status, 404);
  EXPECT_EQ(http_get(server.port(), "/api/run?run=-1").status, 404);
  EXPECT_EQ(http_get(server.port(), "/api/run?run=../first").status, 404);
}

TEST(PageServer, TellsCurvesWithNaNAndInfinityAsNull) {
  const Runs runs;
  const PageServer server(runs.options());
  const json curves = json::parse(http_get(server.port(),
                                           "/api/curves?runs=0,1,7&x=epoch&name=s:train_loss&name=s:gradient_norm"
                                           "&name=e:train_top%201/gr%C3%B6%C3%9Fe,%20%22x%22&name=e:none&name=x")
                                      .body)["curves"];
  ASSERT_EQ(curves.size(), 6U);
  EXPECT_EQ(curves[0]["name"], "s:train_loss");
  EXPECT_EQ(curves[0]["y"], json({1, 0.5}));
  EXPECT_EQ(curves[1]["y"], json({nullptr, nullptr}));
  EXPECT_EQ(curves[1]["not_finite"], 2);
  EXPECT_EQ(curves[2]["name"], "e:train_top 1/größe, \"x\"");
  EXPECT_EQ(curves[2]["x"], json({1, 2}));
}

TEST(PageServer, ARequestForAFileOutsideGetsNone) {
  const Runs runs;
  const PageServer server(runs.options());
  for (const char* path : {"/../../etc/passwd", "/../../../../../../etc/passwd", "/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
                           "/..%2f..%2f..%2fetc%2fpasswd", "//etc/passwd", "/first/points.bin", "/page.js/../../x",
                           "/api/picture?run=0&picture=../../etc/passwd", "/api/run?run=/etc/passwd"}) {
    const HttpAnswer answer = http_get(server.port(), path);
    EXPECT_EQ(answer.status, 404) << path;
    EXPECT_THAT(answer.body, Not(HasSubstr("root:"))) << path;
  }
}

TEST(PageServer, RefusesForeignHosts) {
  const Runs runs;
  const PageServer server(runs.options());
  for (const char* host : {"evil.example", "evil.example:6007", "127.0.0.1.evil.example", "localhost.evil.example:80",
                           "127.0.0.1:80@evil.example", "", "[::2]:80"}) {
    EXPECT_EQ(http_get(server.port(), "/api/runs", std::string("Host: ") + host + "\r\n").status, 403) << host;
    EXPECT_EQ(http_get(server.port(), "/", std::string("Host: ") + host + "\r\n").status, 403) << host;
  }
  for (const char* host : {"localhost", "localhost:9999", "127.0.0.1:1", "[::1]:80", "[::1]"}) {
    EXPECT_EQ(http_get(server.port(), "/api/runs", std::string("Host: ") + host + "\r\n").status, 200) << host;
  }
}

TEST(PageServer, KnowsItsOwnNames) {
  EXPECT_TRUE(is_own_host("localhost"));
  EXPECT_TRUE(is_own_host("[::1]:6007"));
  EXPECT_FALSE(is_own_host("localhost:"));
  EXPECT_FALSE(is_own_host("localhost:80a"));
  EXPECT_FALSE(is_own_host("10.0.0.1"));
  EXPECT_FALSE(is_own_host(""));
}

TEST(PageServer, ActionsNeedTheToken) {
  const Runs runs;
  PageServerOptions options = runs.options();
  std::vector<PageAction> done;
  options.act = [&](PageAction action) {
    done.push_back(action);
    return track::PageAnswer{action == PageAction::stop, "said \"so\""};
  };
  const PageServer server(options);
  const std::string token = "X-Athanor-Token: " + server.token() + "\r\n";
  EXPECT_THAT(server.url(), HasSubstr("/#token=" + server.token()));
  EXPECT_EQ(server.token().size(), 32U);
  for (const std::string& wrong :
       {std::string(), std::string("X-Athanor-Token: \r\n"), "X-Athanor-Token: " + server.token().substr(1) + "\r\n",
        "X-Athanor-Token: " + server.token() + "0\r\n", "X-Athanor-Token: 0" + server.token().substr(1) + "\r\n"}) {
    if (wrong == token) continue;
    EXPECT_EQ(http(server.port(), "POST", "/api/stop", wrong).status, 403);
    EXPECT_EQ(http(server.port(), "POST", "/api/save", wrong).status, 403);
  }
  EXPECT_EQ(http(server.port(), "POST", "/api/stop?token=" + server.token()).status, 403);
  EXPECT_EQ(http_get(server.port(), "/api/stop", token).status, 404);
  EXPECT_EQ(http(server.port(), "POST", "/api/stop", token + "Host: evil.example\r\n").status, 403);
  EXPECT_EQ(http(server.port(), "POST", "/api/stop", token + "Origin: https://evil.example\r\n").status, 403);
  EXPECT_EQ(http(server.port(), "POST", "/api/stop", token + "Origin: null\r\n").status, 403);
  EXPECT_THAT(done, IsEmpty());
  const HttpAnswer stopped = http(server.port(), "POST", "/api/stop", token + "Origin: http://localhost:6007\r\n");
  EXPECT_EQ(stopped.status, 200);
  EXPECT_EQ(json::parse(stopped.body)["text"], "said \"so\"");
  EXPECT_EQ(http(server.port(), "POST", "/api/save", token).status, 409);
  EXPECT_EQ(done, (std::vector{PageAction::stop, PageAction::save}));
}

TEST(PageServer, APageThatOnlyWatchesHasNoToken) {
  const Runs runs;
  const PageServer server(runs.options());
  EXPECT_THAT(server.url(), Not(HasSubstr("token")));
  EXPECT_EQ(http(server.port(), "POST", "/api/stop", "X-Athanor-Token: " + server.token() + "\r\n").status, 409);
}

TEST(PageServer, ComparesSecretsWhole) {
  EXPECT_TRUE(same_secret("abc", "abc"));
  EXPECT_FALSE(same_secret("abd", "abc"));
  EXPECT_FALSE(same_secret("ab", "abc"));
  EXPECT_FALSE(same_secret("abca", "abc"));
  EXPECT_FALSE(same_secret("abcabc", "abc"));
  EXPECT_FALSE(same_secret("", "abc"));
  EXPECT_FALSE(same_secret("", ""));
}

TEST(PageServer, TakesTheNextPortWhenItsOwnIsTaken) {
  const Runs runs;
  PageServerOptions options = runs.options();
  const PageServer first(options);
  options.port = first.port();
  const PageServer second(options);
  EXPECT_GT(second.port(), first.port());
  EXPECT_EQ(http_get(first.port(), "/").status, 200);
  EXPECT_EQ(http_get(second.port(), "/").status, 200);
}

TEST(PageServer, RefusesOversizedRequestsAndGoesOn) {
  const Runs runs;
  const PageServer server(runs.options());
  EXPECT_EQ(http_get(server.port(), "/" + std::string(20'000, 'a')).status, 414);
  EXPECT_EQ(http(server.port(), "POST", "/api/stop", {}, std::string(1 << 20, 'a')).status, 413);
  const Connection nonsense(server.port());
  nonsense.send(std::string(100'000, '\xff') + "\r\n\r\n");
  static_cast<void>(nonsense.read());
  const Connection lying(server.port());
  lying.send("POST /api/stop HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\nx");
  static_cast<void>(lying.read());
  EXPECT_EQ(http_get(server.port(), "/api/runs").status, 200);
}

/// Of this process, in MiB.
double peak_memory() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

TEST(PageServer, AHeaderWithoutEndIsRefusedInBoundedMemory) {
  const Runs runs;
  const PageServer server(runs.options());
  EXPECT_EQ(http_get(server.port(), "/", "X-Fine: " + std::string(8'000, 'a') + "\r\n").status, 200);
  const std::string piece(1 << 20, 'a');
  const double before = peak_memory();
  const auto begin = std::chrono::steady_clock::now();
  // A request line, one header, and headers without number.
  const std::string many = [] {
    std::string lines;
    while (lines.size() < 1 << 20) lines += "X-Header: something\r\n";
    return lines;
  }();
  const std::vector<std::pair<std::string, const std::string*>> requests{
      {"GET /", &piece},
      {"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: ", &piece},
      {"GET / HTTP/1.1\r\nHost: localhost\r\n", &many}};
  for (const auto& [start, repeated] : requests) {
    const Connection endless(server.port());
    endless.send(start);
    for (int i = 0; i < 100; ++i) endless.send(*repeated);
    const std::string answer = endless.read();
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 431") || answer.starts_with("HTTP/1.1 400")) << answer.substr(0, 80);
  }
  EXPECT_LT(peak_memory() - before, 20) << "MiB, after three times 100 MiB of header";
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(8));
  EXPECT_EQ(http_get(server.port(), "/api/runs").status, 200);
}

TEST(PageServer, IdleConnectionsDoNotKeepOthersOut) {
  const Runs runs;
  const PageServer server(runs.options());
  std::list<Connection> idle;
  for (int i = 0; i < 15; ++i) idle.emplace_back(server.port()).send("GET / HT");
  EXPECT_EQ(http_get(server.port(), "/api/runs").status, 200);
}

TEST(PageServer, SendsAnEventWhenARunGrows) {
  const Runs runs;
  const PageServer server(runs.options());
  const Connection stream(server.port());
  stream.send("GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const std::string first = stream.read("\n\n");
  EXPECT_THAT(first, HasSubstr("text/event-stream"));
  const size_t begin = first.find("data: ");
  ASSERT_NE(begin, std::string::npos) << first;
  const json before = json::parse(first.substr(begin + 6, first.find("\n\n", begin) - begin - 6));
  PointsWriter writer(runs.path() / "first" / "points.bin");
  writer.on_run_begin({.resumed = true, .step = 120});
  const std::string second = stream.read("data: ");
  const size_t next = second.find("data: ");
  ASSERT_NE(next, std::string::npos) << second;
  EXPECT_THAT(second, HasSubstr("\"version\":" + std::to_string(before["version"].get<int>() + 1)));
  EXPECT_THAT(second, HasSubstr(before["boot"].get<std::string>()));
  const json changed = json::parse(
      http_get(server.port(), "/api/runs?since=" + std::to_string(before["version"].get<int>())).body)["runs"];
  ASSERT_EQ(changed.size(), 1U);
  EXPECT_EQ(changed[0]["name"], "first");
  EXPECT_EQ(changed[0]["state"], "running");
}

TEST(PageServer, BoundsItsStreamsAndEndsWhileTheyAreOpen) {
  const Runs runs;
  std::list<Connection> streams;
  std::chrono::steady_clock::time_point begin;
  {
    const PageServer server(runs.options());
    for (int i = 0; i < 12; ++i) {
      streams.emplace_back(server.port()).send("GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
      EXPECT_THAT(streams.back().read("\n\n"), HasSubstr("200 OK"));
    }
    const Connection another(server.port());
    another.send("GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    EXPECT_THAT(another.read("\r\n\r\n"), HasSubstr("503"));
    EXPECT_EQ(http_get(server.port(), "/api/runs").status, 200);
    begin = std::chrono::steady_clock::now();
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(4));
}

TEST(PageServer, LeavesTheSignalsOfTheProcessAlone) {
  const Runs runs;
  struct sigaction before {};
  ::sigaction(SIGPIPE, nullptr, &before);
  const PageServer server(runs.options());
  struct sigaction after {};
  ::sigaction(SIGPIPE, nullptr, &after);
  EXPECT_EQ(before.sa_handler, after.sa_handler);
  // Whoever goes away while he is answered does not end the process.
  for (int i = 0; i < 20; ++i) {
    const Connection gone(server.port());
    gone.send("GET /page.js HTTP/1.1\r\nHost: localhost\r\n\r\nGET /page.js HTTP/1.1\r\nHost: localhost\r\n\r\n");
  }
  EXPECT_EQ(http_get(server.port(), "/").status, 200);
}

TEST(RunStore, AnswersForAThousandRuns) {
  const TemporaryFolder folder;
  for (int i = 0; i < 1000; ++i) {
    const fs::path run = folder.path() / ("sweep " + std::to_string(i / 100)) / ("run " + std::to_string(i));
    fs::create_directories(run);
    std::ofstream(run / "history.csv") << "epoch,steps,seconds,val_loss\n1,10,1," << i << "\n";
  }
  track::RunStore store({.folder = folder.path(), .look_every = std::chrono::milliseconds(0)});
  const auto begin = std::chrono::steady_clock::now();
  const uint64_t version = store.look();
  const json answer = json::parse(store.runs_json(0));
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  EXPECT_EQ(answer["runs"].size(), 1000U);
  EXPECT_LT(seconds, 5);
  EXPECT_EQ(store.look(), version);
  EXPECT_THAT(json::parse(store.runs_json(version))["runs"], IsEmpty());
  EXPECT_EQ(store.find(folder.path() / "sweep 3" / "run 345"), store.find(folder.path() / "sweep 3/./run 345"));
  EXPECT_EQ(store.find("/nowhere"), 1000U);
}

void write_small_run(const fs::path& folder, int number) {
  fs::create_directories(folder);
  PointsWriter writer(folder / "points.bin");
  writer.on_run_begin({.device = "cpu", .options = {{"lr", std::to_string(number)}}});
  for (int64_t step = 1; step <= 150; ++step) {
    const auto value = static_cast<double>(number) / static_cast<double>(step);
    writer.on_step({.epoch = 1, .step = step, .samples = 8 * step, .values = {{"train_loss", value}, {"lr", 0.1}}});
  }
}

TEST(RunStore, AThousandRunsFitIntoBoundedMemory) {
  const TemporaryFolder folder;
  constexpr int count = 1000;
  for (int i = 0; i < count; ++i) write_small_run(folder.path() / std::to_string(i), i);
  constexpr size_t bound = 1 << 20;
  const auto now = std::chrono::milliseconds(0);
  track::RunStore roomy({.folder = folder.path(), .look_every = now, .scan_every = now});
  track::RunStore tight({.folder = folder.path(), .look_every = now, .scan_every = now, .bytes = bound});
  roomy.look();
  const uint64_t version = tight.look();
  EXPECT_GT(roomy.memory(), 8 * bound) << "else this test tests nothing";
  EXPECT_LE(tight.memory(), bound);
  const auto without_times = [](const std::string& text) {
    json answer = json::parse(text);
    for (json& run : answer["runs"]) run.erase("last");
    return answer;
  };
  EXPECT_EQ(without_times(tight.runs_json(0)), without_times(roomy.runs_json(0)));
  track::CurvesQuery all{.names = {"s:train_loss", "s:lr"}, .request = {.columns = 20}};
  for (size_t i = 0; i < count; ++i) all.runs.push_back(i);
  EXPECT_EQ(json::parse(tight.curves_json(all))["curves"].size(), 2U * count);
  EXPECT_EQ(tight.curves_json(all), roomy.curves_json(all));
  EXPECT_EQ(tight.run_json(7), roomy.run_json(7));
  EXPECT_LE(tight.memory(), bound);

  // One that rests goes on.
  const size_t number = tight.find(folder.path() / "3");
  EXPECT_EQ(tight.look(), version) << "what was read again has not changed";
  PointsWriter writer(folder.path() / "3" / "points.bin");
  writer.on_run_begin({.resumed = true, .step = 150});
  writer.on_step({.epoch = 2, .step = 151, .samples = 1208, .values = {{"train_loss", 7.5}}});
  writer.on_run_broken({.reason = "a test"});
  EXPECT_GT(tight.look(), version);
  const json changed = json::parse(tight.runs_json(version))["runs"];
  ASSERT_EQ(changed.size(), 1U);
  EXPECT_EQ(changed[0]["run"], number);
  EXPECT_EQ(changed[0]["step"], 151);
  EXPECT_EQ(changed[0]["state"], "broken");
  EXPECT_LE(tight.memory(), bound);
}

}  // namespace
}  // namespace athanor::testing::page_server_test
