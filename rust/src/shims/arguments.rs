//! Arguments that Python lets a caller give by position or by name.

use minijinja::value::{from_args, Kwargs, Rest, Value};
use minijinja::Error;

pub struct Arguments {
    positional: Vec<Value>,
    named: Kwargs,
}

impl Arguments {
    pub fn new(positional: Rest<Value>, named: Kwargs) -> Arguments {
        Arguments { positional: positional.to_vec(), named }
    }

    pub fn of_method(args: &[Value]) -> Result<Arguments, Error> {
        let (positional, named): (Rest<Value>, Kwargs) = from_args(args)?;
        Ok(Arguments::new(positional, named))
    }

    /// None where it is not given, or given as None.
    pub fn get(&self, position: usize, name: &str) -> Result<Option<Value>, Error> {
        let value = match self.positional.get(position) {
            Some(value) => Some(value.clone()),
            None => self.named.get::<Option<Value>>(name)?,
        };
        Ok(value.filter(|v| !v.is_none()))
    }

    pub fn truth(&self, position: usize, name: &str) -> Result<bool, Error> {
        Ok(self.get(position, name)?.is_some_and(|v| v.is_true()))
    }

    /// A count where a negative number means no limit.
    pub fn count(&self, position: usize, name: &str) -> Result<usize, Error> {
        Ok(match self.get(position, name)? {
            Some(v) => usize::try_from(i64::try_from(v)?).unwrap_or(usize::MAX),
            None => usize::MAX,
        })
    }

    /// Fails for a name that nobody asked for.
    pub fn finish(self) -> Result<(), Error> {
        self.named.assert_all_used()
    }
}
