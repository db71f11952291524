#include "speculation/drafter.h"

#include <algorithm>

namespace moraine::speculation {

// What followed the same tokens before: the longer match, of equals the request's own.
std::optional<Drafter::Guess> Drafter::from_text(const Place& place) {
  NgramIndex::Match best;
  Source source = Source::kRequest;
  if (options_.from_request) {
    place.earlier.append(place.tokens.subspan(place.earlier.size()));
    best = place.earlier.find();
  }
  if (options_.from_history) {
    const auto m = history_.find(place.scope, place.tokens);
    if (m.length > best.length) best = m, source = Source::kHistory;
  }
  if (best.length == 0) return std::nullopt;
  // What is drafted from the end of its own text goes on with itself: a repetition.
  const auto available =
      source == Source::kRequest ? place.room : std::min(place.room, static_cast<int32_t>(best.next.size()));
  return Guess{{source, best.length, available}, best.next};
}

std::optional<Drafter::Guess> Drafter::from_grammar(const Place& place) {
  if (!options_.from_grammar || place.constraint == nullptr) return std::nullopt;
  const auto forced = place.constraint->forced(place.room);
  if (forced.empty()) return std::nullopt;
  return Guess{{Source::kGrammar, 0, static_cast<int32_t>(forced.size())}, forced};
}

void Drafter::run_script(const Place& place, Draft& draft) {
  draft.source = Source::kScript;
  options_.script(place.tokens, place.room, draft.tokens);
  draft.tokens.resize(std::min<size_t>(draft.tokens.size(), place.room));
  if (options_.always) return;
  const Offer offer{Source::kScript, 0, static_cast<int32_t>(draft.tokens.size())};
  auto choice = controller_.best(offer, place.beside);
  if (choice.length == 0) choice = controller_.probe(offer, place.beside);
  draft.tokens.resize(choice.length);
}

void Drafter::propose(const Place& place, Draft& draft) {
  draft.tokens.clear();
  draft.match = draft.wanted = 0;
  if (place.room < least()) return;
  if (options_.script) return run_script(place, draft);

  std::array<std::optional<Guess>, 3> guesses{from_grammar(place), from_text(place), std::nullopt};
  if (place.model) guesses[2] = Guess{*place.model, {}};
  const Guess* chosen = nullptr;
  Controller::Choice choice;
  for (const auto& guess : guesses) {
    if (!guess) continue;
    const auto c = options_.always && chosen == nullptr ? Controller::Choice{guess->offer.available}
                                                        : controller_.best(guess->offer, place.beside);
    if (c.length > 0 && (chosen == nullptr || c.gain > choice.gain)) chosen = &*guess, choice = c;
  }
  for (auto it = guesses.begin(); chosen == nullptr && it != guesses.end(); ++it)
    if (*it)
      if (choice = controller_.probe((*it)->offer, place.beside); choice.length > 0) chosen = &**it;
  if (chosen == nullptr) return;

  draft.source = chosen->offer.source;
  draft.match = chosen->offer.match;
  if (draft.source == Source::kModel) {
    draft.wanted = choice.length;
    return;
  }
  const auto n = static_cast<int32_t>(chosen->next.size());
  for (int32_t i = 0; i < choice.length; ++i)
    draft.tokens.push_back(i < n ? chosen->next[i] : draft.tokens[i - n]);
}

void Drafter::outcome(const Draft& d, int32_t drafted, int32_t accepted) {
  controller_.outcome(d.source, d.match, drafted, accepted);
  auto& count = counts_[static_cast<int>(d.source)];
  count.drafted += drafted, count.accepted += accepted;
}

std::vector<DrafterStats> Drafter::stats() const {
  const bool may[kNumSources] = {options_.from_request, options_.from_history, options_.from_grammar,
                                 options_.from_model && !options_.model.path.empty(), false};
  std::vector<DrafterStats> stats;
  for (int i = 0; i < kNumSources; ++i) {
    const auto source = static_cast<Source>(i);
    if (options_.max_draft == 0 || (options_.script ? source != Source::kScript : !may[i])) continue;
    stats.push_back({name_of(source), counts_[i].drafted, counts_[i].accepted});
  }
  return stats;
}

}  // namespace moraine::speculation
