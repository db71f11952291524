//! Grammars over a model's vocabulary: which tokens may come next (llguidance).
//!
//! Grammars are Lark text as llguidance extends it (JSON schemas stand in it as `%json {...}`); writing
//! them is C++ (`src/constraint`). They come from requests, so they are hostile until shown otherwise. What a
//! grammar may cost is limited three times: in symbols and regular expressions while it is compiled, in work
//! for each mask (about 10 ms at most), and in states of its lexer over its life. Compiling runs under the
//! guard (`guard.rs`) besides, since a few paths of it are not charged.

use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use llguidance::api::{ParserLimits, TopLevelGrammar};
use llguidance::earley::SlicedBiasComputer;
use llguidance::toktrie::{ApproximateTokEnv, InferenceCapabilities, TokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};

use crate::guard::{self, Limits};
use crate::templates::{stopped_failure, Failure, FailureKind};

/// The text of a grammar: 1 MB of schema and what stands around it.
pub const MAX_GRAMMAR_BYTES: usize = 4 << 20;
/// The trie has room for four million nodes and tokens of a thousand bytes.
const MAX_TOKENS: usize = 1 << 21;
const MAX_TOKEN_BYTES: usize = 1000;

// Two times what the largest schemas in use need (FHIR: 500,000 and 200,000).
const INITIAL_LEXER_FUEL: u64 = 1_000_000;
const MAX_GRAMMAR_SIZE: usize = 500_000;
// For each mask: some 10 ms and 5 ms.
const STEP_LEXER_FUEL: u64 = 200_000;
const STEP_MAX_ITEMS: usize = 100_000;
// Of one matcher; 1 to 2 KB each.
const MAX_LEXER_STATES: usize = 50_000;

const COMPILE_LIMITS: Limits = Limits {
    stack_bytes: 64 << 20, // address space only
    memory_bytes: 512 << 20,
    time: Duration::from_secs(10),
};
/// Compiles that the guard had to stop cost what they held; so many, and there are no more large grammars.
const MAX_GIVEN_UP: u32 = 4;
const LARGE_GRAMMAR_BYTES: usize = 16 << 10;

/// Matchers kept for reuse: what their lexers learnt makes masks several times as fast.
const MAX_IDLE: usize = 4;

/// What a token is to grammars.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// Its bytes are text.
    Text,
    /// Control tokens: allowed only where a grammar names one by its id, `<[42]>`.
    Control,
    /// Never allowed.
    Never,
}

/// The tokens of a model, prepared once. Immutable.
pub struct Vocabulary {
    factory: ParserFactory,
    n_given_up: AtomicU32,
}

impl Vocabulary {
    /// `tokens`: kind and bytes of each. `end_tokens`: those that end a generation.
    pub fn new(tokens: &[(TokenKind, &[u8])], end_tokens: &[u32]) -> Result<Vocabulary, Failure> {
        if tokens.is_empty() || tokens.len() > MAX_TOKENS {
            return Err(Failure::new(FailureKind::Limit, format!("{} tokens", tokens.len())));
        }
        let marked = |bytes: &[u8]| [&[TokTrie::SPECIAL_TOKEN_MARKER], bytes].concat();
        let mut words: Vec<Vec<u8>> = tokens
            .iter()
            .map(|&(kind, bytes)| match kind {
                _ if bytes.len() >= MAX_TOKEN_BYTES => Vec::new(),
                TokenKind::Control => marked(bytes),
                // This byte marks control tokens, and no UTF-8 text holds it.
                TokenKind::Text if !bytes.starts_with(&[TokTrie::SPECIAL_TOKEN_MARKER]) => bytes.to_vec(),
                _ => Vec::new(),
            })
            .collect();
        let mut ends: Vec<u32> = end_tokens.iter().copied().filter(|&t| (t as usize) < words.len()).collect();
        for &end in &ends {
            if words[end as usize].is_empty() {
                words[end as usize] = marked(b"<|end|>");
            }
        }
        if ends.is_empty() {
            // The engine of grammars needs one; it lies behind all that a mask shows.
            ends.push(words.len() as u32);
            words.push(marked(b"<|end|>"));
        }
        let info = TokRxInfo::new(words.len() as u32, ends[0]);
        let trie = TokTrie::from(&info, &words).with_eos_tokens(&ends);
        drop(words);
        let env: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let slices = SlicedBiasComputer::general_slices();
        let mut factory = ParserFactory::new(&env, InferenceCapabilities::default(), &slices)
            .map_err(|e| Failure::new(FailureKind::Grammar, e.to_string()))?;
        factory.quiet();
        *factory.limits_mut() = ParserLimits {
            initial_lexer_fuel: INITIAL_LEXER_FUEL,
            step_lexer_fuel: STEP_LEXER_FUEL,
            step_max_items: STEP_MAX_ITEMS,
            max_lexer_states: MAX_LEXER_STATES,
            max_grammar_size: MAX_GRAMMAR_SIZE,
            verbose_errors: false,
            ..ParserLimits::default()
        };
        Ok(Vocabulary { factory, n_given_up: AtomicU32::new(0) })
    }
}

/// A compiled grammar, and matchers of it that are not in use.
pub struct Grammar {
    fresh: Matcher,
    idle: Mutex<Vec<Matcher>>,
    /// What of the schemas in it is not enforced, one sentence each.
    pub warnings: Vec<String>,
}

impl Grammar {
    pub fn compile(vocabulary: &Arc<Vocabulary>, text: &str) -> Result<Grammar, Failure> {
        let too_large = |most: usize| {
            let message = format!("it has {} bytes, and at most {most} are read", text.len());
            Err(Failure::new(FailureKind::Limit, message))
        };
        if text.len() > MAX_GRAMMAR_BYTES {
            return too_large(MAX_GRAMMAR_BYTES);
        }
        if vocabulary.n_given_up.load(Ordering::Relaxed) >= MAX_GIVEN_UP && text.len() > LARGE_GRAMMAR_BYTES {
            return too_large(LARGE_GRAMMAR_BYTES);
        }
        let shared = Arc::clone(vocabulary);
        let text = text.to_string();
        let compiled = guard::run(&COMPILE_LIMITS, move || {
            let parser = shared.factory.create_parser(TopLevelGrammar::from_lark(text));
            let mut matcher = Matcher::new(parser);
            // The first mask, which every matcher needs, shows a grammar that no text satisfies.
            let _ = matcher.compute_mask_or_eos();
            match matcher.get_error() {
                Some(message) => Err(Failure::new(FailureKind::Grammar, first_lines(&message))),
                None => Ok(Grammar {
                    warnings: matcher.grammar_warnings(),
                    fresh: matcher,
                    idle: Mutex::new(Vec::new()),
                }),
            }
        });
        compiled.unwrap_or_else(|stopped| {
            vocabulary.n_given_up.fetch_add(1, Ordering::Relaxed);
            Err(stopped_failure(&COMPILE_LIMITS, stopped))
        })
    }

    /// Takes an idle matcher, or makes one.
    pub fn start(self: &Arc<Grammar>) -> Running {
        let idle = self.idle.lock().ok().and_then(|mut idle| idle.pop());
        let matcher = idle.unwrap_or_else(|| self.fresh.deep_clone());
        Running { matcher: ManuallyDrop::new(matcher), grammar: Arc::clone(self) }
    }
}

/// One text that grows under a grammar.
pub struct Running {
    matcher: ManuallyDrop<Matcher>,
    grammar: Arc<Grammar>,
}

impl Running {
    /// Fails where the grammar does not allow the token.
    pub fn accept(&mut self, token: u32) -> Result<(), Failure> {
        self.matcher.consume_token(token).map_err(|e| Failure::new(FailureKind::Grammar, e.to_string()))
    }

    /// Text as any tokens that spell it.
    pub fn accept_text(&mut self, text: &[u8]) -> Result<(), Failure> {
        let failure = |e: &dyn std::fmt::Display| Failure::new(FailureKind::Grammar, e.to_string());
        let env = self.matcher.tok_env().map_err(|e| failure(&e))?;
        let tokens = env.tok_trie().greedy_tokenize(text);
        self.matcher.consume_tokens(&tokens).map_err(|e| failure(&e))
    }

    /// Bit t % 32 of word t / 32: token t may follow. Once ended, only end tokens may.
    pub fn mask(&mut self, words: &mut [u32]) -> Result<(), Failure> {
        let mask = self
            .matcher
            .compute_mask_or_eos()
            .map_err(|e| Failure::new(FailureKind::Grammar, e.to_string()))?;
        let bits = mask.as_slice();
        let n = words.len().min(bits.len());
        words[..n].copy_from_slice(&bits[..n]);
        words[n..].fill(0);
        Ok(())
    }

    /// The bytes that must follow. A control token is the marking byte and its id in brackets. Looked for on a
    /// copy, which costs some microseconds: forced bytes would go into the text at once, and masks after them
    /// are wrong where a control token is among them.
    pub fn forced(&self) -> Vec<u8> {
        self.matcher.clone().compute_ff_bytes()
    }

    /// Nothing but an end token can follow.
    pub fn ended(&self) -> bool {
        self.matcher.is_stopped()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Taken once: nothing looks at it afterwards.
        let mut matcher = unsafe { ManuallyDrop::take(&mut self.matcher) };
        // What an error left behind is not to be trusted.
        if matcher.is_error() || matcher.reset().is_err() {
            return;
        }
        let Ok(mut idle) = self.grammar.idle.lock() else { return };
        if idle.len() < MAX_IDLE {
            idle.push(matcher);
        }
    }
}

/// Errors quote the grammar around the place, which is not what the client wrote.
fn first_lines(message: &str) -> String {
    if message.starts_with("NoExtension") {
        return "no text satisfies it".into();
    }
    let text: Vec<&str> = message.lines().filter(|line| !line.trim_start().starts_with(is_quote)).collect();
    let mut text = text.join(" ");
    if text.len() > 300 {
        let mut end = 300;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    text
}

fn is_quote(c: char) -> bool {
    c.is_ascii_digit() || c == '|' || c == '^'
}

#[cfg(test)]
#[path = "constraints_test.rs"]
mod tests;
