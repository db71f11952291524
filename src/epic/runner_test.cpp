// Whole epics on small repositories, with a shell for an agent: what is committed, what is left, and that the
// tree is clean whatever goes wrong. The same with OpenCode: tests/agents/test_epic.py.
#include "epic/runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <moraine/error.h>
#include <unistd.h>

#include <fstream>

#include "epic/files.h"
#include "epic/testing.h"

namespace moraine::epic {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class Epic : public ::testing::Test {
 protected:
  Epic() : git(folder / "repo", test_environment(folder.path())) {
    std::filesystem::create_directories(folder / "repo/epics");
    std::ofstream(folder / ".gitconfig")
        << "[user]\n name = a\n email = a@example.org\n[init]\n defaultBranch = main\n";
    git.run({"init", "-q"});
    write("readme", "hello\n");
    commit("First");
  }
  void write(const std::string& path, const std::string& text) {
    write_file(folder / ("repo/" + path), text);
  }
  std::string read(const std::string& path) { return read_file(folder / ("repo/" + path)); }
  void commit(const std::string& message) {
    git.run({"add", "-A"});
    git.run({"commit", "-qm", message});
  }
  static std::string task(const std::string& id, const std::string& accept, const std::string& after = "") {
    return "- [ ] " + id + ": Make " + id + "\n  - Files: " + id + "\n  - After: " + after +
           "\n  - Accept: `" + accept + "`\n";
  }
  void plan(const std::string& tasks) { write("epics/e.md", "# E\n\nContext.\n\n## Tasks\n\n" + tasks); }

  // `script`: run by the shell for each attempt, with $TASK, $ATTEMPT and the prompt on its standard input.
  RunnerOptions options(const std::string& script) {
    RunnerOptions o;
    o.repository = find_repository(git);
    o.name = "e";
    o.work_folder = folder / "work";
    o.environment = test_environment(folder.path());
    o.attempts = 2;
    o.accept_timeout = std::chrono::seconds(20);
    o.agent = [this, script](const AgentJob& job) {
      ++n_agents;
      prompts.push_back(job.prompt);
      ProcessOptions p;
      p.command = {"/bin/sh", "-c", script};
      p.environment = test_environment(folder.path());
      p.environment.push_back("TASK=" + job.task.id);
      p.environment.push_back("ATTEMPT=" + std::to_string(job.attempt));
      p.environment.push_back("REPO=" + (folder / "repo"));
      p.input = job.prompt;
      return p;
    };
    o.on_line = [this](const std::string& line) { lines += line + "\n"; };
    return o;
  }
  Outcome run(const std::string& script) { return Runner(options(script)).run(); }
  Error error_of(RunnerOptions o) {
    try {
      Runner(std::move(o)).run();
    } catch (const Error& e) {
      return e;
    }
    return Error(ErrorCode::kInternal, "nothing was thrown");
  }
  void expect_clean() {
    EXPECT_THAT(git.changes(), IsEmpty());
    EXPECT_EQ(git.run({"worktree", "list", "--porcelain"}).find("worktree", 1), std::string::npos);
  }
  bool done(const std::string& id) { return parse_plan(read("epics/e.md")).plan.find(id)->done; }

  TestFolder folder;
  Git git;
  int n_agents = 0;
  std::vector<std::string> prompts;
  std::string lines;
};

TEST_F(Epic, EachTaskIsACommitAndATick) {
  plan(task("b", "test -f a && test -f b", "a") + task("a", "test -f a"));
  const Outcome out = run("touch $TASK; mkdir -p __pycache__; touch __pycache__/x");
  EXPECT_EQ(out.n_done, 2);
  EXPECT_EQ(git.run({"log", "--format=%s", "--reverse"}), "First\nPlan: e\nMake a\nMake b");
  EXPECT_EQ(git.run({"show", "--format=", "--name-only", "HEAD"}), "b\nepics/e.md");
  EXPECT_THAT(git.run({"log", "-1", "--format=%b"}), HasSubstr("Task: b"));
  EXPECT_EQ(git.run({"branch", "--format=%(refname:short)"}), "main");
  EXPECT_TRUE(done("a") && done("b"));
  EXPECT_THAT(prompts[1], HasSubstr("- a: Make a"));
  expect_clean();
}

TEST_F(Epic, FailuresAreToldAndOneForGoodIsLeftWithAReport) {
  plan(task("a", "true") + task("second-time", "test -f good || (echo not good; false)") +
       task("never", "echo no; false") + task("after-never", "true", "never") + task("last", "true"));
  const Outcome out =
      run("echo $TASK > $TASK; if [ $TASK = second-time ] && [ $ATTEMPT = 2 ]; then grep -q 'not good' && "
          "touch good; fi; "
          "git add -A; git commit -qm mine");
  EXPECT_EQ(out.n_done, 3);
  EXPECT_THAT(out.failed, ElementsAre("never"));
  EXPECT_THAT(out.blocked, ElementsAre("after-never"));
  EXPECT_EQ(git.run({"log", "--format=%s", "--reverse"}),
            "First\nPlan: e\nMake a\nMake second-time\nMake last");
  expect_clean();
  EXPECT_FALSE(std::filesystem::exists(folder / "repo/never"));
  EXPECT_EQ(git.run({"show", "moraine/e/never:never"}), "never");  // nothing is lost
  const std::string report = read_file(folder / "repo/.git/moraine/epics/e/never.md");
  for (const char* part :
       {"# never: Make never", "2 times", "Attempt 2", "ended with code 1", "moraine/e/never"})
    EXPECT_THAT(report, HasSubstr(part));

  // Again: only what is told to be tried again, with its edits.
  n_agents = 0;
  EXPECT_EQ(run("exit 1").n_done, 3);
  EXPECT_EQ(n_agents, 0);
  RunnerOptions again = options("test -f never && rm never && touch fixed");
  again.retry_failed = true;
  EXPECT_EQ(Runner(again).run().n_done, 3);
  EXPECT_THAT(prompts.back(), HasSubstr("Attempt 2"));
  plan(read("epics/e.md").substr(std::string("# E\n\nContext.\n\n## Tasks\n\n").size()));
  std::string mended = read("epics/e.md");
  mended.replace(mended.find("echo no; false"), 14, "true");
  write("epics/e.md", mended);
  again = options("touch ok-$TASK");
  again.retry_failed = true;
  EXPECT_EQ(Runner(again).run().n_done, 5);
  expect_clean();
}

TEST_F(Epic, CommandsThatHangFloodAndDestroyCostTheirTaskAlone) {
  plan(task("hangs", "sleep 100") + task("floods", "yes") + task("destroys", "rm -rf .git ./* ; true") +
       task("fine", "test -f fine"));
  RunnerOptions o = options("touch $TASK");
  o.attempts = 1;
  o.accept_timeout = std::chrono::seconds(1);
  const Outcome out = Runner(o).run();
  EXPECT_EQ(out.n_done, 1);
  EXPECT_THAT(out.failed, ElementsAre("hangs", "floods", "destroys"));
  EXPECT_THAT(lines, HasSubstr("did not end within 1 s"));
  EXPECT_THAT(lines, HasSubstr("destroyed its folder"));
  EXPECT_EQ(read("readme"), "hello\n");
  expect_clean();
}

TEST_F(Epic, ADirtyTreeAPlanOfNonsenseAndNoBranchAreRefused) {
  plan(task("a", "true"));
  write("other", "x");
  const Error dirty = error_of(options("true"));
  EXPECT_EQ(dirty.code(), ErrorCode::kUnsupported);
  EXPECT_THAT(dirty.what(), HasSubstr("?? other"));
  EXPECT_THAT(dirty.what(), Not(HasSubstr("epics")));
  std::filesystem::remove(folder / "repo/other");

  plan(task("a", "true", "b") + task("b", "true", "a"));
  EXPECT_THAT(error_of(options("true")).what(), HasSubstr("wait for each other"));
  plan(task("a", "true"));
  git.run({"checkout", "-q", "--detach"});
  EXPECT_THAT(error_of(options("true")).what(), HasSubstr("No branch"));
  EXPECT_EQ(n_agents, 0);
  git.run({"checkout", "-q", "main"});
  write_file(folder / "repo/.git/moraine/epics/e/state.json", "{");
  EXPECT_EQ(error_of(options("true")).code(), ErrorCode::kCorruptFile);
}

TEST_F(Epic, ABranchThatMovesIsFollowed) {
  plan(task("a", "test -f a"));
  EXPECT_EQ(
      run("touch a; cd $REPO; test -f theirs || (echo t > theirs; git add theirs; git commit -qm Theirs)")
          .n_done,
      1);
  EXPECT_EQ(git.run({"log", "--format=%s", "--reverse"}), "First\nPlan: e\nTheirs\nMake a");
  EXPECT_THAT(lines, HasSubstr("main has moved"));
  expect_clean();
}

TEST_F(Epic, AConflictIsAFailureWithItsReason) {
  plan(task("a", "test -f a") + task("b", "test -f b"));
  const Outcome out =
      run("touch $TASK; [ $TASK = a ] || exit 0; echo mine > readme; cd $REPO; echo theirs > readme; git "
          "commit -qam Theirs");
  EXPECT_THAT(out.failed, ElementsAre("a"));
  EXPECT_EQ(out.n_done, 1);
  EXPECT_EQ(read("readme"), "theirs\n");
  EXPECT_EQ(git.run({"show", "moraine/e/a:readme"}), "mine");
  EXPECT_THAT(read_file(folder / "repo/.git/moraine/epics/e/a.md"), HasSubstr("conflict"));
  expect_clean();
}

TEST_F(Epic, WhatIsInTheWayOfTheBranchStopsTheRunAndIsTakenUpAgain) {
  plan(task("a", "test -f a"));
  const Error e = error_of(options("echo a > a; echo by-hand > $REPO/a"));
  EXPECT_EQ(e.code(), ErrorCode::kUnsupported);
  EXPECT_THAT(e.what(), HasSubstr("cannot take it"));
  EXPECT_EQ(read("a"), "by-hand\n");
  std::filesystem::remove(folder / "repo/a");
  n_agents = 0;
  EXPECT_EQ(run("exit 1").n_done, 1);
  EXPECT_EQ(n_agents, 0);  // it was done already
  EXPECT_EQ(read("a"), "a\n");
  expect_clean();
}

TEST_F(Epic, ALostServerEndsTheRunAndCountsNoAttempt) {
  plan(task("a", "test -f a"));
  RunnerOptions o = options("touch half; exit 1");
  bool there = true;
  o.is_ready = [&] { return std::exchange(there, false); };
  o.attempts = 1;
  EXPECT_EQ(error_of(o).code(), ErrorCode::kUnavailable);
  EXPECT_EQ(git.run({"status", "--porcelain"}), "");
  there = true;
  RunnerOptions again = options("test -f half && touch a");
  again.attempts = 1;
  EXPECT_EQ(Runner(again).run().n_done, 1);
  expect_clean();
}

TEST_F(Epic, AnAgentIsEndedWhenItsServerIsLost) {
  plan(task("a", "test -f half"));
  RunnerOptions o = options("touch half; sleep 100");
  o.is_lost = [&] { return std::filesystem::exists(folder / "work/a/half"); };
  EXPECT_EQ(error_of(o).code(), ErrorCode::kUnavailable);
  EXPECT_EQ(load_state(folder / "repo/.git/moraine/epics/e/state.json").tasks.at("a").group, 0);
  EXPECT_EQ(run("true").n_done, 1);
  EXPECT_THAT(lines, HasSubstr("a: goes on where it was interrupted\na: attempt 1 of 2"));
  expect_clean();
}

TEST_F(Epic, StoppedItGoesOnWithItsEdits) {
  plan(task("a", "test -f a && test -f early"));
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  RunnerOptions o = options("touch early; sleep 100");
  o.stop_fd = ends[0];
  o.on_tick = [&](const Progress& p) {
    if (p.doing == "the agent works" && std::filesystem::exists(folder / "work/a/early"))
      ASSERT_EQ(::write(ends[1], "x", 1), 1);
  };
  EXPECT_EQ(error_of(o).code(), ErrorCode::kCancelled);
  ::close(ends[0]);
  ::close(ends[1]);
  EXPECT_THAT(git.changes(), IsEmpty());
  EXPECT_EQ(run("touch a").n_done, 1);
  EXPECT_THAT(lines, HasSubstr("goes on where it was interrupted"));
  EXPECT_THAT(lines, HasSubstr("attempt 1 of 2"));
  expect_clean();
}

TEST_F(Epic, KilledBetweenTheBranchAndItsNotesItTidiesUp) {
  plan(task("a", "true"));
  run("touch a");
  const std::string path = folder / "repo/.git/moraine/epics/e/state.json";
  State state = load_state(path);
  state.tasks["a"].status = state.tasks["gone"].status = TaskState::Status::kRunning;
  state.tasks["a"].commit = git.head();
  save_state(path, state);
  git.run({"branch", "moraine/e/a"});
  for (const char* id : {"a", "gone"}) git.run({"worktree", "add", "-q", "--detach", folder / "work/" + id});
  n_agents = 0;
  EXPECT_EQ(run("exit 1").n_done, 1);
  EXPECT_EQ(n_agents, 0);
  EXPECT_EQ(git.run({"branch", "--format=%(refname:short)"}), "main");
  expect_clean();
}

TEST_F(Epic, AnotherBranchIsRefusedWhileATaskIsUnderWay) {
  plan(task("a", "test -f a"));
  RunnerOptions o = options("true");
  o.is_lost = [] { return true; };
  o.agent = [this](const AgentJob&) {
    ProcessOptions p;
    p.command = {"sleep", "100"};
    p.environment = test_environment(folder.path());
    return p;
  };
  EXPECT_EQ(error_of(o).code(), ErrorCode::kUnavailable);
  git.run({"checkout", "-qb", "other"});
  EXPECT_THAT(error_of(options("touch a")).what(), HasSubstr("git switch main"));
  git.run({"checkout", "-q", "main"});
  EXPECT_EQ(run("touch a").n_done, 1);
}

TEST_F(Epic, NoAgentChangesThePlan) {
  plan(task("a", "true") + task("b", "true"));
  EXPECT_EQ(run("touch $TASK; echo nonsense > epics/e.md").n_done, 2);
  EXPECT_TRUE(done("a") && done("b"));
}

TEST_F(Epic, OneTaskAlone) {
  plan(task("a", "true") + task("b", "true"));
  RunnerOptions o = options("touch $TASK");
  o.only = "b";
  EXPECT_EQ(Runner(o).run().n_done, 1);
  EXPECT_TRUE(done("b"));
  o.only = "c";
  EXPECT_EQ(error_of(o).code(), ErrorCode::kNotFound);
}

TEST_F(Epic, WhatCannotBeWrittenIsAnErrorAndTheTreeStaysClean) {
  plan(task("a", "true"));
  commit("The plan");
  std::filesystem::create_directories(folder / "repo/.git/moraine/epics/e/state.json.new");
  EXPECT_EQ(error_of(options("touch a")).code(), ErrorCode::kIo);
  expect_clean();
  std::filesystem::remove(folder / "repo/.git/moraine/epics/e/state.json.new");
  EXPECT_EQ(run("touch a").n_done, 1);
}

}  // namespace
}  // namespace moraine::epic
