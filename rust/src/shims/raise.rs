//! `raise_exception(message)`: how templates refuse a conversation. The message reaches the user as it is.

use std::fmt;

use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind, State};

use super::text;

/// The source of the engine error that a raise becomes, by which it is told from errors of the template.
#[derive(Debug)]
pub struct Raised(pub String);

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Raised {}

pub fn install(environment: &mut Environment<'static>) {
    environment.add_function("raise_exception", raise_exception);
}

fn raise_exception(state: &State, message: &Value) -> Result<Value, Error> {
    let message = text::str(state, message)?;
    Err(Error::new(ErrorKind::InvalidOperation, message.clone()).with_source(Raised(message)))
}
