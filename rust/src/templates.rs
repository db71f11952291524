//! A compiled chat template and its rendering under limits.
//!
//! A template comes from a model file, so it is hostile until shown otherwise: it may loop for ever,
//! double a string, nest values without end or ask for a huge range. Fuel bounds most of this, because
//! the engine charges it for instructions and for every byte and list slot they make (1 fuel =
//! 1 instruction = 64 bytes); the shims charge what they make themselves. Two things fuel cannot stop.
//! The recursion that frees or compares a deeply nested value, or compiles a long expression: for it
//! the stack is sized for the deepest value or expression there can be. And the walk over a list that
//! holds a list twice that holds a list twice, where the engine compares or prints it without
//! charging: for it there is the guard (`guard.rs`).

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind};

use crate::guard::{self, Limits, Stopped};
use crate::shims;

/// Template text longer than this is refused; the longest of a real model is some 40 KB.
pub const MAX_SOURCE_BYTES: usize = 512 << 10;
/// Messages, tools and variables together; a prompt of a million tokens is some 5 MB.
pub const MAX_INPUT_BYTES: usize = 32 << 20;
/// JSON values among them: an object of one member takes 600 bytes of memory for 8 of text, so without
/// this limit a request could drive an honest template into the guard. An agent's session of 900
/// messages has some 10,000.
pub const MAX_INPUT_VALUES: usize = 256 << 10;
/// The rendered prompt.
pub const MAX_OUTPUT_BYTES: usize = 64 << 20;

// Of seventy real templates the costliest spends 4.1 million fuel on an agent's session of 870 KB in
// 900 messages, since it walks the messages once for each; it grows with their square.
const BASE_FUEL: u64 = 1_000_000;
const FUEL_PER_INPUT_BYTE: u64 = 32;
const MAX_FUEL: u64 = 64_000_000;

// What the guard allows, some ten times what honest renders need: whoever meets it is not tried again.
const BASE_MEMORY: u64 = 256 << 20;
const MEMORY_PER_INPUT_BYTE: u64 = 32;

// To free, compare or print a value takes at most 544 bytes of stack for each level of nesting
// (measured: mappings that are ordered), and a level costs at least 3.4 fuel (lookup, list with a slot,
// store) and 64 bytes of memory. Address space only: untouched pages of a stack are never committed.
const BASE_STACK: u64 = 16 << 20;
const STACK_PER_FUEL: u64 = 160;
const STACK_PER_MEMORY_BYTE: u64 = 9;
// The compiler recurses over chains like `x.y.y.y` and `- - -1`; measured: 432 bytes for each of `-`.
const COMPILE_STACK_PER_BYTE: u64 = 1024;

const TIME: Duration = Duration::from_secs(if cfg!(test) { 3 } else { 20 });

const TEMPLATE_NAME: &str = "chat";

/// Why there is no text.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum FailureKind {
    /// The template called `raise_exception`: the message is the template author's.
    Raised,
    /// A syntax error, an unknown filter, an operation on the wrong type.
    Template,
    /// One of the limits below.
    Limit,
    /// Messages, tools or variables are not the JSON they should be.
    Input,
    /// No thread for the render.
    Resources,
    /// The guard stopped it.
    GivenUp,
    /// A grammar or schema that cannot be used, or a token that it does not allow.
    Grammar,
}

#[derive(Debug)]
pub struct Failure {
    pub kind: FailureKind,
    pub message: String,
    /// Line of the template, from 1; 0 where there is none.
    pub line: u32,
}

impl Failure {
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Failure {
        Failure { kind, message: message.into(), line: 0 }
    }

    fn from_engine(error: &Error) -> Failure {
        let line = error.line().unwrap_or(0) as u32;
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
        let mut deepest = error;
        while let Some(current) = cause {
            if let Some(raised) = current.downcast_ref::<shims::raise::Raised>() {
                return Failure { kind: FailureKind::Raised, message: raised.0.clone(), line };
            }
            if let Some(engine_error) = current.downcast_ref::<Error>() {
                if engine_error.kind() == ErrorKind::OutOfFuel {
                    let message =
                        "the template does more work or makes more text than its limit allows".into();
                    return Failure { kind: FailureKind::Limit, message, line };
                }
                deepest = engine_error;
            }
            cause = current.source();
        }
        let message = match deepest.detail() {
            Some(detail) => format!("{}: {}", deepest.kind(), detail),
            None => deepest.kind().to_string(),
        };
        Failure { kind: FailureKind::Template, message, line }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What a render sees. JSON texts; an empty one stands for Python's `None`.
pub struct Input {
    pub messages: String,
    pub tools: String,
    /// Further variables of this render (`enable_thinking`, `documents`); they win over the template's own.
    pub variables: String,
    pub add_generation_prompt: bool,
    pub now: shims::clock::LocalTime,
}

pub struct Template {
    compiled: Arc<Compiled>,
    /// The guard had to stop a render: there is no second try, since each costs what it held.
    given_up: AtomicBool,
}

impl Template {
    /// `variables` is the text of a JSON object, or empty.
    pub fn compile(source: &str, variables: &str) -> Result<Template, Failure> {
        if source.len() > MAX_SOURCE_BYTES {
            return Err(Failure::new(
                FailureKind::Limit,
                format!("its text has {} bytes, and at most {} are read", source.len(), MAX_SOURCE_BYTES),
            ));
        }
        let variables = parse_object("variables", variables)?;
        let source = shims::source::prepare(source);
        let limits = Limits {
            stack_bytes: (BASE_STACK + source.len() as u64 * COMPILE_STACK_PER_BYTE) as usize,
            memory_bytes: BASE_MEMORY as usize,
            time: TIME,
        };
        let compiled = guarded(&limits, move || Compiled::new(source, variables))?;
        Ok(Template { compiled: Arc::new(compiled), given_up: AtomicBool::new(false) })
    }

    pub fn render(&self, input: Input) -> Result<String, Failure> {
        let input_bytes = input.messages.len() + input.tools.len() + input.variables.len();
        if input_bytes > MAX_INPUT_BYTES {
            return Err(Failure::new(
                FailureKind::Limit,
                format!(
                    "the messages and tools have {input_bytes} bytes, and at most {MAX_INPUT_BYTES} are read"
                ),
            ));
        }
        let n_values: usize =
            [&input.messages, &input.tools, &input.variables].map(|json| count_values(json)).iter().sum();
        if n_values > MAX_INPUT_VALUES {
            return Err(Failure::new(
                FailureKind::Limit,
                format!(
                    "the messages and tools hold {n_values} values, and at most {MAX_INPUT_VALUES} are read"
                ),
            ));
        }
        if self.given_up.load(Ordering::Relaxed) {
            return Err(Failure::new(
                FailureKind::Limit,
                "it went beyond its time or memory before, and is not tried again",
            ));
        }
        let input_bytes = input_bytes as u64;
        let fuel = (BASE_FUEL + FUEL_PER_INPUT_BYTE * input_bytes).min(MAX_FUEL);
        let memory = BASE_MEMORY + MEMORY_PER_INPUT_BYTE * input_bytes;
        let limits = Limits {
            stack_bytes: (BASE_STACK + (fuel * STACK_PER_FUEL).min(memory * STACK_PER_MEMORY_BYTE)) as usize,
            memory_bytes: memory as usize,
            time: TIME,
        };
        let compiled = Arc::clone(&self.compiled);
        let text = guarded(&limits, move || compiled.render(&input, fuel));
        if text.as_ref().is_err_and(|failure| failure.kind == FailureKind::GivenUp) {
            self.given_up.store(true, Ordering::Relaxed);
        }
        text
    }
}

/// Runs `work` under the guard, whose words become a failure.
fn guarded<T: Send + 'static>(
    limits: &Limits,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    guard::run(limits, work).unwrap_or_else(|stopped| Err(stopped_failure(limits, stopped)))
}

/// The guard's word as a failure.
pub fn stopped_failure(limits: &Limits, stopped: Stopped) -> Failure {
    match stopped {
        Stopped::Memory => Failure::new(
            FailureKind::GivenUp,
            format!("it needs more than {} MB of memory", limits.memory_bytes >> 20),
        ),
        Stopped::Time => {
            Failure::new(FailureKind::GivenUp, format!("it takes longer than {} s", limits.time.as_secs()))
        }
        Stopped::NoThread(reason) => {
            Failure::new(FailureKind::Resources, format!("no thread could be started for it ({reason})"))
        }
    }
}

struct Compiled {
    environment: Environment<'static>,
    /// Variables of every render: `bos_token`, `eos_token`.
    variables: Vec<(String, Value)>,
}

impl Compiled {
    fn new(source: String, variables: Vec<(String, Value)>) -> Result<Compiled, Failure> {
        let mut environment = Environment::new();
        // As transformers sets up jinja2.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|e| Failure::from_engine(&e))?);
        shims::install(&mut environment);
        environment.add_template_owned(TEMPLATE_NAME, source).map_err(|e| Failure::from_engine(&e))?;
        Ok(Compiled { environment, variables })
    }

    fn render(&self, input: &Input, fuel: u64) -> Result<String, Failure> {
        let mut context: Vec<(String, Value)> = self.variables.clone();
        context.push(("messages".into(), parse("messages", &input.messages)?));
        context.push(("tools".into(), parse("tools", &input.tools)?));
        context.push(("documents".into(), Value::from(())));
        context.push(("add_generation_prompt".into(), Value::from(input.add_generation_prompt)));
        context.extend(parse_object("variables", &input.variables)?);

        let mut environment = self.environment.clone();
        environment.set_fuel(Some(fuel));
        shims::clock::install(&mut environment, input.now);
        let template = environment.get_template(TEMPLATE_NAME).map_err(|e| Failure::from_engine(&e))?;
        let text = template.render(Value::from_pairs(context)).map_err(|e| Failure::from_engine(&e))?;
        if text.len() > MAX_OUTPUT_BYTES {
            return Err(Failure::new(
                FailureKind::Limit,
                format!("its text has {} bytes, and at most {} are kept", text.len(), MAX_OUTPUT_BYTES),
            ));
        }
        Ok(text)
    }
}

/// Openings and commas outside strings: the number of values or somewhat more, before any is made.
fn count_values(json: &str) -> usize {
    let (mut n, mut in_string, mut escaped) = (0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'[' | b'{' | b',' if !in_string => n += 1,
            _ => {}
        }
    }
    n
}

fn parse(what: &str, json: &str) -> Result<Value, Failure> {
    if json.is_empty() {
        return Ok(Value::from(()));
    }
    let value: serde_json::Value = serde_json::from_str(json)
        .map_err(|e| Failure::new(FailureKind::Input, format!("the {what} are not valid JSON: {e}")))?;
    Ok(shims::json::to_value(&value))
}

fn parse_object(what: &str, json: &str) -> Result<Vec<(String, Value)>, Failure> {
    if json.is_empty() {
        return Ok(Vec::new());
    }
    match serde_json::from_str(json) {
        Ok(serde_json::Value::Object(map)) => {
            Ok(map.iter().map(|(key, value)| (key.clone(), shims::json::to_value(value))).collect())
        }
        Ok(_) => Err(Failure::new(FailureKind::Input, format!("the {what} are not a JSON object"))),
        Err(e) => Err(Failure::new(FailureKind::Input, format!("the {what} are not valid JSON: {e}"))),
    }
}

#[cfg(test)]
#[path = "templates_test.rs"]
mod tests;
