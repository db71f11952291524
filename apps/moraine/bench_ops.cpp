// `moraine bench ops`: how near the kernels are to what this machine can do. What is measured, and how:
// src/backend/cpu/ops_bench.h.
#include "backend/cpu/ops_bench.h"

#include <fmt/format.h>
#include <signal.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "app.h"
#include "signals.h"

namespace moraine::app {
namespace {

std::string as_json(const cpu::OpsBenchReport& report) {
  nlohmann::ordered_json j = {{"n_threads", report.n_threads}, {"stream_bytes", report.stream_bytes}};
  for (const cpu::MachineSpeed& m : report.machine)
    j["machine"].push_back({{"isa", m.isa},
                            {"read_gb_per_s", m.read_gb_per_s},
                            {"int8_gops", m.int8_gops},
                            {"float32_gops", m.float_gops}});
  for (const cpu::OpSpeed& o : report.ops) {
    j["ops"].push_back({{"isa", o.isa}, {"op", o.op}, {"rows", o.rows}, {"gops", o.gops}});
    if (o.gb_per_s > 0) j["ops"].back()["gb_per_s"] = o.gb_per_s;
    j["ops"].back().update({{"probe", o.probe}, {"share", o.share}});
  }
  return j.dump(2) + "\n";
}

std::string as_table(const cpu::OpsBenchReport& report) {
  std::string out;
  for (const cpu::MachineSpeed& m : report.machine) {
    const auto most = [](double v, const char* unit) {
      return v > 0 ? fmt::format("{:.0f} {}", v, unit) : "not measured";
    };
    out += fmt::format("\n{}, {} threads. The machine: reading {}, int8 {}, float32 {}.\n\n", m.isa,
                       report.n_threads, most(m.read_gb_per_s, "GB/s"), most(m.int8_gops, "GOPS"),
                       most(m.float_gops, "GFLOPS"));
    out += "| op | rows | GB/s | GOPS | share of |  |\n|---|---:|---:|---:|---|---:|\n";
    for (const cpu::OpSpeed& o : report.ops)
      if (o.isa == m.isa)
        out += fmt::format("| {} | {} | {} | {:.0f} | {} | {:.0f}% |\n", o.op, o.rows,
                           o.gb_per_s > 0 ? fmt::format("{:.1f}", o.gb_per_s) : "", o.gops, o.probe,
                           100 * o.share);
  }
  return out;
}

}  // namespace

int bench_ops(Invocation& invocation) {
  const Settings& s = invocation.settings;
  Signals signals{SIGINT};
  cpu::OpsBenchOptions options;
  options.n_threads = s.engine.n_threads;
  options.isa = s.engine.isa;
  options.filter = s.ops.filter;
  options.rounds = s.ops.rounds;
  options.stream_bytes = int64_t{s.ops.stream_mib} << 20;
  const cpu::OpsBenchReport report = cpu::bench_ops(options, [&](const std::string& what) {
    invocation.console.live(what);
    return !signals.take();
  });
  invocation.console.end_live();
  if (report.ops.empty())
    throw options::UsageError(
        fmt::format("no op is called like \"{}\": try matmul, attention or gated_delta_net", s.ops.filter));
  const std::string out = s.json ? as_json(report) : as_table(report);
  std::fwrite(out.data(), 1, out.size(), stdout);
  return kOk;
}

}  // namespace moraine::app
