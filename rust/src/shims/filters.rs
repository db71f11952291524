//! Filters and tests of jinja2 that minijinja has otherwise: `indent`, `join`, `string`, `trim`;
//! `iterable` and `sequence`.

use minijinja::value::{Kwargs, Rest, Value, ValueKind};
use minijinja::{Environment, Error, State};

use super::arguments::Arguments;
use super::{strings, text};

pub fn install(environment: &mut Environment<'static>) {
    environment.add_filter("string", string);
    environment.add_filter("trim", trim);
    environment.add_filter("indent", indent);
    environment.add_filter("join", join);
    environment.add_test("iterable", is_iterable);
    environment.add_test("sequence", is_sequence);
}

fn string(state: &State, value: &Value) -> Result<String, Error> {
    text::str(state, value)
}

fn trim(state: &State, value: &Value, chars: Option<&str>) -> Result<String, Error> {
    let value = text::str(state, value)?;
    Ok(strings::strip(&value, chars, true, true).to_string())
}

/// A trailing line end stays, and empty lines get no indentation unless `blank`.
fn indent(state: &State, value: &Value, positional: Rest<Value>, kwargs: Kwargs) -> Result<String, Error> {
    let arguments = Arguments::new(positional, kwargs);
    let width = arguments.get(0, "width")?;
    let first = arguments.truth(1, "first")?;
    let blank = arguments.truth(2, "blank")?;
    arguments.finish()?;
    let unit = text::indentation(state, &width.unwrap_or_else(|| Value::from(4)))?;
    let mut value = text::str(state, value)?;
    value.push('\n');
    let lines = text::split_lines(&value, false);
    text::ensure(state, value.len().saturating_add(lines.len().saturating_mul(unit.len())))?;
    let mut out = String::with_capacity(value.len());
    for (index, line) in lines.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        let indented = if index == 0 { first } else { blank || !line.is_empty() };
        if indented {
            out.push_str(&unit);
        }
        out.push_str(line);
    }
    Ok(out)
}

fn join(state: &State, value: &Value, positional: Rest<Value>, kwargs: Kwargs) -> Result<String, Error> {
    let arguments = Arguments::new(positional, kwargs);
    let separator = arguments.get(0, "d")?;
    let attribute = arguments.get(1, "attribute")?;
    arguments.finish()?;
    let separator = separator.map(|s| text::str(state, &s)).transpose()?.unwrap_or_default();
    let mut items = Vec::new();
    for item in value.try_iter()?.checked() {
        state.consume_fuel(1)?;
        let item = item?;
        items.push(match &attribute {
            Some(path) => attribute_of(&item, path)?,
            None => item,
        });
    }
    strings::join(state, &separator, items.into_iter().map(Ok))
}

/// `attribute="a.b"` or `attribute=0`.
fn attribute_of(item: &Value, path: &Value) -> Result<Value, Error> {
    let Some(path) = path.as_str() else { return item.get_item(path) };
    let mut value = item.clone();
    for part in path.split('.') {
        value = match part.parse::<usize>() {
            Ok(index) => value.get_item_by_index(index)?,
            Err(_) => value.get_attr(part)?,
        };
    }
    Ok(value)
}

/// Unlike None, undefined can be iterated.
fn is_iterable(value: &Value) -> bool {
    !value.is_none() && value.try_iter().is_ok()
}

/// What has `len()` and can be indexed: strings and dicts too.
fn is_sequence(value: &Value) -> bool {
    value.is_undefined() || matches!(value.kind(), ValueKind::Seq | ValueKind::String | ValueKind::Map)
}
