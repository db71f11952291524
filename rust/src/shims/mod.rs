//! Where minijinja and Python's jinja2 (as transformers sets it up) differ, a shim makes them agree:
//! one file for each concern. `install` wires all that does not depend on a single render.

pub mod arguments; // by position or by name
pub mod clock; // strftime_now
pub mod filters; // indent, join, string, trim, from_json; the tests `iterable`, `sequence`
pub mod json; // tojson as json.dumps writes it; JSON input
pub mod raise; // raise_exception
pub mod source; // {% generation %}, line ends
pub mod strings; // methods of Python's str
pub mod text; // str() and repr()

use minijinja::{Environment, UndefinedBehavior};

pub fn install(environment: &mut Environment<'static>) {
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_formatter(text::format);
    environment.set_unknown_method_callback(strings::call_method);
    raise::install(environment);
    json::install(environment);
    filters::install(environment);
}
