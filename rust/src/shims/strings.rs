//! Methods of Python's `str` (and, through minijinja-contrib, of dict and list) on template values.
//!
//! Those written here either differ from Python in minijinja-contrib or can make text much longer than
//! their input; the latter ask for their bytes before they make them.

use minijinja::value::{from_args, ArgType, Kwargs, Rest, Value, ValueKind};
use minijinja::{Error, ErrorKind, State};
use minijinja_contrib::pycompat;

use super::arguments::Arguments;
use super::text;

pub fn call_method(state: &mut State, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    if let Some(s) = value.as_str() {
        if let Some(result) = str_method(state, s, method, args) {
            return result;
        }
    }
    pycompat::unknown_method_callback(state, value, method, args)
}

/// None: not a method of this file.
fn str_method(state: &State, s: &str, method: &str, args: &[Value]) -> Option<Result<Value, Error>> {
    Some(match method {
        "strip" => strip_method(s, args, true, true),
        "lstrip" => strip_method(s, args, true, false),
        "rstrip" => strip_method(s, args, false, true),
        "split" => split(state, s, args, false),
        "rsplit" => split(state, s, args, true),
        "splitlines" => split_lines(state, s, args),
        "partition" => partition(s, args, false),
        "rpartition" => partition(s, args, true),
        "removeprefix" => from_args::<(&str,)>(args).map(|(p,)| Value::from(s.strip_prefix(p).unwrap_or(s))),
        "removesuffix" => from_args::<(&str,)>(args).map(|(p,)| Value::from(s.strip_suffix(p).unwrap_or(s))),
        "replace" => replace(state, s, args),
        "join" => from_args::<(&Value,)>(args)
            .and_then(|(items,)| join(state, s, items.try_iter()?.checked()))
            .map(Value::from),
        "format" => format(state, s, args),
        "ljust" => justify(state, s, args, Side::Right),
        "rjust" => justify(state, s, args, Side::Left),
        "center" => justify(state, s, args, Side::Both),
        "zfill" => zfill(state, s, args),
        "index" | "rindex" => index(s, args, method == "rindex"),
        "isspace" => Ok(Value::from(!s.is_empty() && s.chars().all(text::is_space))),
        "isdecimal" => Ok(Value::from(!s.is_empty() && s.chars().all(|c| c.is_ascii_digit()))),
        "casefold" => Ok(Value::from(s.to_lowercase())),
        "title" => from_args::<()>(args).map(|()| Value::from(title(s))),
        "swapcase" => Ok(Value::from(swap_case(s))),
        _ => return None,
    })
}

/// `str.strip(chars)` on the ends asked for.
pub fn strip<'a>(s: &'a str, chars: Option<&str>, left: bool, right: bool) -> &'a str {
    let is_stripped = |c: char| match chars {
        Some(chars) => chars.contains(c),
        None => text::is_space(c),
    };
    let s = if left { s.trim_start_matches(is_stripped) } else { s };
    if right {
        s.trim_end_matches(is_stripped)
    } else {
        s
    }
}

fn strip_method(s: &str, args: &[Value], left: bool, right: bool) -> Result<Value, Error> {
    let (chars,): (Option<&str>,) = from_args(args)?;
    Ok(Value::from(strip(s, chars, left, right)))
}

/// `separator.join(items)`; the items' text is made one at a time, so that the budget is kept.
pub fn join(
    state: &State,
    separator: &str,
    items: impl Iterator<Item = Result<Value, Error>>,
) -> Result<String, Error> {
    let mut out = String::new();
    for (index, item) in items.enumerate() {
        let item = item?;
        state.consume_fuel(1)?;
        if index > 0 {
            text::ensure(state, out.len().saturating_add(separator.len()))?;
            out.push_str(separator);
        }
        let piece = text::str(state, &item)?;
        text::ensure(state, out.len().saturating_add(piece.len()))?;
        out.push_str(&piece);
    }
    Ok(out)
}

fn replace(state: &State, s: &str, args: &[Value]) -> Result<Value, Error> {
    let (old, new, positional, kwargs): (&str, &str, Rest<Value>, Kwargs) = from_args(args)?;
    let arguments = Arguments::new(positional, kwargs);
    let count = arguments.count(0, "count")?;
    arguments.finish()?;
    if new.len() > old.len() {
        let matches = s.matches(old).take(count).count();
        text::ensure(state, s.len().saturating_add(matches.saturating_mul(new.len() - old.len())))?;
    }
    Ok(Value::from(s.replacen(old, new, count)))
}

fn split(state: &State, s: &str, args: &[Value], from_right: bool) -> Result<Value, Error> {
    let arguments = Arguments::of_method(args)?;
    let separator = arguments.get(0, "sep")?;
    let separator = separator.as_ref().map(|s| <&str>::from_value(Some(s))).transpose()?;
    let max_splits = arguments.count(1, "maxsplit")?;
    arguments.finish()?;
    // A piece of one byte costs a whole slot.
    text::charge(state, s.len().saturating_mul(8))?;
    let pieces: Vec<&str> = match separator {
        Some("") => return Err(Error::new(ErrorKind::InvalidOperation, "empty separator")),
        Some(separator) if from_right => {
            let mut pieces: Vec<&str> = s.rsplitn(max_splits.saturating_add(1), separator).collect();
            pieces.reverse();
            pieces
        }
        Some(separator) => s.splitn(max_splits.saturating_add(1), separator).collect(),
        None if from_right => split_space_right(s, max_splits),
        None => split_space(s, max_splits),
    };
    Ok(Value::from(pieces.into_iter().map(Value::from).collect::<Vec<_>>()))
}

/// Runs of white space separate; the piece after the last split keeps its trailing space, as in Python.
fn split_space(s: &str, max_splits: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = s.trim_start_matches(text::is_space);
    while !rest.is_empty() {
        if pieces.len() == max_splits {
            pieces.push(rest);
            break;
        }
        let end = rest.find(text::is_space).unwrap_or(rest.len());
        pieces.push(&rest[..end]);
        rest = rest[end..].trim_start_matches(text::is_space);
    }
    pieces
}

fn split_space_right(s: &str, max_splits: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = s.trim_end_matches(text::is_space);
    while !rest.is_empty() {
        if pieces.len() == max_splits {
            pieces.push(rest);
            break;
        }
        let start = rest.char_indices().rev().find(|(_, c)| text::is_space(*c));
        let start = start.map_or(0, |(at, c)| at + c.len_utf8());
        pieces.push(&rest[start..]);
        rest = rest[..start].trim_end_matches(text::is_space);
    }
    pieces.reverse();
    pieces
}

fn split_lines(state: &State, s: &str, args: &[Value]) -> Result<Value, Error> {
    let arguments = Arguments::of_method(args)?;
    let keep_ends = arguments.truth(0, "keepends")?;
    arguments.finish()?;
    text::charge(state, s.len().saturating_mul(8))?;
    Ok(Value::from(text::split_lines(s, keep_ends).into_iter().map(Value::from).collect::<Vec<_>>()))
}

fn partition(s: &str, args: &[Value], from_right: bool) -> Result<Value, Error> {
    let (separator,): (&str,) = from_args(args)?;
    let found = if from_right { s.rsplit_once(separator) } else { s.split_once(separator) };
    let pieces = match found {
        Some((before, after)) => [before, separator, after],
        None if from_right => ["", "", s],
        None => [s, "", ""],
    };
    Ok(Value::from(minijinja::value::Tuple::from(pieces.map(Value::from))))
}

fn index(s: &str, args: &[Value], from_right: bool) -> Result<Value, Error> {
    let (what,): (&str,) = from_args(args)?;
    let at = if from_right { s.rfind(what) } else { s.find(what) };
    match at {
        Some(at) => Ok(Value::from(s[..at].chars().count())),
        None => Err(Error::new(ErrorKind::InvalidOperation, "substring not found")),
    }
}

/// minijinja's `str.format` with the size of what it may make bounded before: every field may be as
/// long as the longest argument or the largest width.
fn format(state: &State, s: &str, args: &[Value]) -> Result<Value, Error> {
    const MAX_WIDTH: usize = 1000;
    let mut longest = MAX_WIDTH;
    let mut texts = Vec::with_capacity(args.len());
    for arg in args {
        // Containers are printed here, under the budget; named arguments come in one.
        let is_container = matches!(arg.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::Iterable);
        if is_container && !arg.is_kwargs() {
            texts.push(Value::from(text::str(state, arg)?));
        } else {
            texts.push(arg.clone());
        }
        longest = longest.max(text::str(state, arg)?.len());
    }
    let mut depth = 0;
    let mut digits = 0;
    for c in s.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        digits = if depth > 0 && c.is_ascii_digit() { digits + 1 } else { 0 };
        if depth > 1 && c == ':' || digits > 3 {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                "a field of format() is too wide or is computed",
            ));
        }
    }
    text::ensure(state, s.len().saturating_add(s.matches('{').count().saturating_mul(longest)))?;
    minijinja::formatting::format(minijinja::formatting::FormatStyle::StrFormat, s, &texts).map(Value::from)
}

enum Side {
    Left,
    Right,
    Both,
}

fn justify(state: &State, s: &str, args: &[Value], side: Side) -> Result<Value, Error> {
    let (width, fill): (i64, Option<&str>) = from_args(args)?;
    let fill = fill.unwrap_or(" ");
    if fill.chars().count() != 1 {
        return Err(Error::new(
            ErrorKind::InvalidOperation,
            "the fill character must be exactly one character long",
        ));
    }
    let width = usize::try_from(width).unwrap_or(0);
    let length = s.chars().count();
    let pad = width.saturating_sub(length);
    text::ensure(state, s.len().saturating_add(pad.saturating_mul(fill.len())))?;
    let left = match side {
        Side::Left => pad,
        Side::Right => 0,
        // CPython puts the odd character left exactly where the width is odd.
        Side::Both => pad / 2 + (pad & width & 1),
    };
    Ok(Value::from(format!("{}{s}{}", fill.repeat(left), fill.repeat(pad - left))))
}

fn zfill(state: &State, s: &str, args: &[Value]) -> Result<Value, Error> {
    let (width,): (i64,) = from_args(args)?;
    let pad = usize::try_from(width).unwrap_or(0).saturating_sub(s.chars().count());
    text::ensure(state, s.len().saturating_add(pad))?;
    let (sign, digits) = match s.strip_prefix(['+', '-']) {
        Some(digits) => s.split_at(s.len() - digits.len()),
        None => ("", s),
    };
    Ok(Value::from(format!("{sign}{}{digits}", "0".repeat(pad))))
}

/// A letter after anything that is not one begins a word: "it's </b>" becomes "It'S </B>". (jinja2's
/// filter `title` splits words otherwise.)
fn title(s: &str) -> String {
    let mut out = String::with_capacity(s.len());
    let mut inside = false;
    for c in s.chars() {
        if inside {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        inside = c.is_alphabetic();
    }
    out
}

fn swap_case(s: &str) -> String {
    let mut out = String::with_capacity(s.len());
    for c in s.chars() {
        if c.is_uppercase() {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
    }
    out
}
