//! A compiled chat template and its rendering under limits.
//!
//! A template comes from a model file, so it is hostile until shown otherwise: it may loop for ever,
//! double a string, nest values without end or ask for a huge range. Fuel bounds all of these, because
//! the engine charges it for instructions and for every byte and list slot they make
//! (1 fuel = 1 instruction = 64 bytes); the shims charge what they make themselves. What fuel cannot
//! stop is the recursion that frees or compares a deeply nested value, so a render runs on a thread
//! whose stack is sized for the deepest value its fuel can build. The same holds for the compiler's
//! recursion over a long expression.

use std::fmt;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind};

use crate::shims;

/// Template text longer than this is refused; the longest of a real model is some 40 KB.
pub const MAX_SOURCE_BYTES: usize = 512 << 10;
/// Messages, tools and variables together; a prompt of a million tokens is some 5 MB.
pub const MAX_INPUT_BYTES: usize = 64 << 20;
/// The rendered prompt.
pub const MAX_OUTPUT_BYTES: usize = 64 << 20;

// Real templates spend at most some 60 fuel a message and 0.3 a byte of input.
const BASE_FUEL: u64 = 1_000_000;
const FUEL_PER_INPUT_BYTE: u64 = 4;
const MAX_FUEL: u64 = 16_000_000;

// A level of nesting costs at least MIN_FUEL_PER_LEVEL (lookup, list, store, loop) and its recursive
// drop, comparison or hash at most MAX_STACK_PER_LEVEL bytes. Address space only: untouched pages of
// a stack are never committed.
const MIN_FUEL_PER_LEVEL: u64 = 4;
const MAX_STACK_PER_LEVEL: u64 = 512;
const BASE_STACK: u64 = 16 << 20;
// The compiler recurses over chains like `x.y.y.y` and `1+1+1`: a level for every two bytes at most.
const COMPILE_STACK_PER_BYTE: u64 = 1024;

const TEMPLATE_NAME: &str = "chat";

/// Why there is no text.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum FailureKind {
    /// The template called `raise_exception`: the message is the template author's.
    Raised,
    /// A syntax error, an unknown filter, an operation on the wrong type.
    Template,
    /// One of the limits above.
    Limit,
    /// Messages, tools or variables are not the JSON they should be.
    Input,
    /// No thread or memory for the render.
    Resources,
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
                    let message = "the template does more work or makes more text than its limit allows".into();
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
pub struct Input<'a> {
    pub messages: &'a str,
    pub tools: &'a str,
    /// Further variables of this render (`enable_thinking`, `documents`); they win over the template's own.
    pub variables: &'a str,
    pub add_generation_prompt: bool,
    pub now: shims::clock::LocalTime,
}

pub struct Template {
    environment: Environment<'static>,
    /// Variables of every render: `bos_token`, `eos_token`.
    variables: Vec<(String, Value)>,
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
        let mut environment = Environment::new();
        // As transformers sets up jinja2.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|e| Failure::from_engine(&e))?);
        shims::install(&mut environment);
        let source = shims::source::prepare(source);
        let stack = BASE_STACK + source.len() as u64 * COMPILE_STACK_PER_BYTE;
        on_stack(stack, || {
            environment.add_template_owned(TEMPLATE_NAME, source).map_err(|e| Failure::from_engine(&e))?;
            Ok(Template { environment, variables })
        })
    }

    pub fn render(&self, input: &Input<'_>) -> Result<String, Failure> {
        let input_bytes = input.messages.len() + input.tools.len() + input.variables.len();
        if input_bytes > MAX_INPUT_BYTES {
            return Err(Failure::new(
                FailureKind::Limit,
                format!("the messages and tools have {input_bytes} bytes, and at most {MAX_INPUT_BYTES} are read"),
            ));
        }
        let fuel = (BASE_FUEL + FUEL_PER_INPUT_BYTE * input_bytes as u64).min(MAX_FUEL);
        let stack = BASE_STACK + fuel / MIN_FUEL_PER_LEVEL * MAX_STACK_PER_LEVEL;
        on_stack(stack, || self.render_here(input, fuel))
    }

    fn render_here(&self, input: &Input<'_>, fuel: u64) -> Result<String, Failure> {
        let mut context: Vec<(String, Value)> = self.variables.clone();
        context.push(("messages".into(), parse("messages", input.messages)?));
        context.push(("tools".into(), parse("tools", input.tools)?));
        context.push(("documents".into(), Value::from(())));
        context.push(("add_generation_prompt".into(), Value::from(input.add_generation_prompt)));
        context.extend(parse_object("variables", input.variables)?);

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

/// Runs `body` on a thread with a stack of so many bytes. A panic goes on in the caller.
fn on_stack<T: Send>(bytes: u64, body: impl FnOnce() -> Result<T, Failure> + Send) -> Result<T, Failure> {
    std::thread::scope(|scope| {
        let worker = std::thread::Builder::new().stack_size(bytes as usize).spawn_scoped(scope, body).map_err(|e| {
            Failure::new(FailureKind::Resources, format!("no thread could be started for it ({e})"))
        })?;
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
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
