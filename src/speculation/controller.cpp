#include "speculation/controller.h"

#include <algorithm>
#include <utility>

namespace moraine::speculation {
namespace {

constexpr double kForget = 0.99;         // of earlier trials, with each new one
constexpr double kCarriedTrials = 6;     // that those of earlier texts count for
constexpr double kLeastGain = 1.03;      // below, plain decoding is as good
constexpr int32_t kPlainInterval = 100;  // steps, most of them with drafts
constexpr int32_t kProbeLength = 2;
constexpr int32_t kLongestInterval = 256;
constexpr double kProbeShare = 0.02;  // of steps and of time, at most
constexpr int64_t kFirstProbes = 2;   // before that share has grown to one

}  // namespace

const char* name_of(Source s) {
  constexpr const char* kNames[] = {"request", "history", "grammar", "model", "script"};
  return kNames[static_cast<int>(s)];
}

int Controller::class_of(Source source, int32_t match) {
  if (source == Source::kGrammar || source == Source::kModel) return 0;
  return match >= 24 ? 3 : match >= 8 ? 2 : match >= 5 ? 1 : 0;
}

Controller::Parts Controller::initial() {
  Parts parts;
  constexpr double kPriors[kClasses] = {0.35, 0.55, 0.75, 0.9};
  for (auto& of_source : parts)
    for (int i = 0; i < kClasses; ++i) of_source[i].chance = Chance(kPriors[i]);
  parts[static_cast<int>(Source::kGrammar)][0].chance = Chance(0.95);
  parts[static_cast<int>(Source::kModel)][0].chance = Chance(0.7);
  return parts;
}

void Controller::Chance::tell(bool yes) {
  held = held * kForget + yes;
  tried = tried * kForget + 1;
  assumed *= kForget;
}

void Controller::measured(int32_t rows, double seconds) {
  costs_.measured(rows, seconds);
  ++steps_, total_seconds_ += seconds;
}

// A free draft has the length it is cut to. A model's ends where it is not sure, and takes time up to there;
// those who share it are taken to fare alike.
template <class F>
void Controller::each_length(const Offer& o, Beside beside, bool all_hold, F&& f) const {
  const double plain = cost(beside.rows + 1);
  const double sure = all_hold || o.source != Source::kModel ? 1 : is_sure_.rate();
  const int32_t n = std::max(o.sharers, beside.sequences + 1);
  double drafting = o.begin_seconds, ended = 0;  // seconds; of steps whose draft was shorter, by their chance
  double reaches = 1, holds = 1, tokens = 1;
  for (int32_t k = 1; k <= o.available; ++k) {
    drafting += reaches * o.token_seconds;
    ended += reaches * (1 - sure) * cost(beside.rows + 1 + o.sharers * (k - 1));
    reaches *= sure;
    tokens += holds *= all_hold ? 1 : sure * acceptance(o.source, o.match + k - 1);
    const double seconds = drafting + ended + reaches * cost(beside.rows + 1 + o.sharers * k);
    const double made = (n - o.sharers) + o.sharers * tokens;
    if (k >= least_) f(k, plain > 0 ? made / n * plain / seconds : 1.0, seconds);
  }
}

// What agreed for longer holds at least as often, until it is known better.
double Controller::acceptance(Source source, int32_t match) const {
  const auto& classes = parts_[static_cast<int>(source)];
  double rate = 0;
  for (int i = 0; i <= class_of(source, match); ++i) {
    const Chance& c = classes[i].chance;
    rate = c.rate(std::max(c.prior, rate));
  }
  return rate;
}

void Controller::Chance::start_anew(double most_trials) {
  const bool was_bad = rate() < prior;
  const double share = std::min(1.0, most_trials / (tried + assumed));
  held *= share, tried *= share, assumed *= share;
  if (was_bad) assumed = kPriorTrials;
}

void Controller::text_ended() {
  for (const Source s : {Source::kRequest, Source::kHistory, Source::kScript})
    for (Part& p : parts_[static_cast<int>(s)]) {
      p.chance.start_anew(kCarriedTrials);
      p.rest = 0, p.interval = 64;
    }
}

double Controller::gain(const Offer& offer, Beside beside) const {
  double most = 0;
  each_length(offer, beside, false, [&](int32_t, double g, double) { most = std::max(most, g); });
  return most;
}

double Controller::most_gain(const Offer& offer, Beside beside) const {
  double most = 0;
  each_length(offer, beside, true, [&](int32_t, double g, double) { most = std::max(most, g); });
  return most;
}

// Where drafts are always there a plain step is run now and then: all gains are measured by it.
bool Controller::needs_plain_step(Beside beside) const {
  return beside.rows == 0 && costs_.age(1) >= kPlainInterval;
}

Controller::Choice Controller::best(const Offer& offer, Beside beside) const {
  Choice choice;
  if (needs_plain_step(beside)) return choice;
  each_length(offer, beside, false, [&](int32_t k, double gain, double) {
    if (gain > std::max(choice.gain, kLeastGain)) choice = {k, gain, false};
  });
  return choice;
}

Controller::Choice Controller::probe(const Offer& offer, Beside beside) {
  Choice choice;
  Part& c = part(offer.source, offer.match);
  if (offer.available <= 0 || needs_plain_step(beside) || c.rest-- > 0) return choice;
  c.rest = 0;  // until there is time for one
  if (probes_ >= kFirstProbes + kProbeShare * static_cast<double>(steps_)) return choice;
  const double plain = cost(beside.rows + 1);
  double extra = 0;
  each_length(offer, beside, false, [&](int32_t k, double gain, double seconds) {
    if (k <= std::max(least_, kProbeLength))
      choice = {k, gain, true}, extra = offer.once_seconds + seconds - plain;
  });
  // What a plain step takes is there from the beginning: short answers may be the only ones.
  if (probe_seconds_ + extra > plain + kProbeShare * total_seconds_) return {};
  if (choice.length > 0) ++probes_, probe_seconds_ += extra, c.rest = c.interval, c.probing = extra;
  return choice;
}

void Controller::outcome(Source source, int32_t match, int32_t drafted, int32_t accepted) {
  Part& c = part(source, match);
  for (int32_t i = 0; i < drafted && i <= accepted; ++i) {
    part(source, match + i).chance.tell(i < accepted);
    ++trials_[static_cast<int>(source)];
  }
  const double probed = std::exchange(c.probing, 0);
  if (2 * accepted < drafted) {
    c.interval = std::min(kLongestInterval, 2 * c.interval);
    return;
  }
  c.interval = 64;
  // A probe that held has paid for itself, and is looked into while the share of probes allows.
  if (probed > 0) probe_seconds_ -= probed, c.rest = 0;
}

void Controller::drafted_by_model(int32_t wanted, int32_t drafted) {
  for (int32_t i = 0; i < wanted && i <= drafted; ++i) is_sure_.tell(i < drafted);
  // A probe that showed nothing has failed too.
  Part& c = part(Source::kModel, 0);
  if (drafted == 0) c.interval = std::min(kLongestInterval, 2 * c.interval);
}

}  // namespace moraine::speculation
