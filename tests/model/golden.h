// Reads the golden logits of tests/oracle (format: tests/oracle/README.md).
#pragma once

#include <fstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace moraine::testing {

struct Golden {
  struct Position {
    int at = 0;
    double logsumexp = 0;
    std::vector<std::pair<int, float>> top, sampled;  // token, logit; top: likeliest first
  };
  struct GreedyStep {
    int token, second;
    float logit, second_logit;
  };
  std::string model;   // file name under models/ or made by tools/make_models.py
  std::string origin;  // how to get the model
  std::vector<int> tokens;
  std::vector<Position> positions;
  std::vector<GreedyStep> steps;

  explicit Golden(const std::string& path) {
    std::ifstream in(path);
    std::string word;
    if (!(in >> word) || word != "moraine-golden") throw std::runtime_error("no golden file: " + path);
    std::getline(in, word);
    while (in >> word && word != "end") {
      size_t n = 0;
      if (word == "model") {
        in >> model;
      } else if (word == "origin") {
        std::getline(in >> std::ws, origin);
      } else if (word == "tokens") {
        in >> n;
        tokens.resize(n);
        for (int& t : tokens) in >> t;
      } else if (word == "positions") {
        in >> n;
        positions.resize(n);
        for (Position& p : positions) {
          size_t n_top = 0, n_sampled = 0;
          std::string at, logsumexp, top, sampled;
          in >> at >> p.at >> logsumexp >> p.logsumexp >> top >> n_top >> sampled >> n_sampled;
          p.top.resize(n_top);
          p.sampled.resize(n_sampled);
          for (auto& [id, logit] : p.top) in >> id >> logit;
          for (auto& [id, logit] : p.sampled) in >> id >> logit;
        }
      } else if (word == "steps") {
        in >> n;
        steps.resize(n);
        for (GreedyStep& s : steps) {
          double logsumexp;
          in >> s.token >> s.logit >> s.second >> s.second_logit >> logsumexp;
        }
      } else {
        std::getline(in, word);
      }
      if (!in) throw std::runtime_error("a damaged golden file: " + path);
    }
  }
};

}  // namespace moraine::testing
