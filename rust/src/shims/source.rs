//! What is changed in a template's text before it is compiled; line numbers stay as they are.
//!
//! - jinja2 reads `\r\n` and `\r` as `\n`.
//! - transformers' `{% generation %}` ... `{% endgeneration %}` marks what the assistant said, for training;
//!   it renders its body. `{% if true %}` ... `{% endif %}` does the same, and trims as any block does.

pub fn prepare(source: &str) -> String {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    if !source.contains("generation") {
        return source;
    }
    let mut out = String::with_capacity(source.len());
    let mut rest = source.as_str();
    while let Some(open) = rest.find('{') {
        let (before, tag) = rest.split_at(open);
        out.push_str(before);
        let skipped = if tag.starts_with("{#") {
            // A comment is copied whole, so that a tag inside it stays text.
            tag.find("#}").map_or(tag.len(), |end| end + 2)
        } else if let Some((replacement, length)) = generation_tag(tag) {
            out.push_str(&replacement);
            rest = &tag[length..];
            continue;
        } else {
            1
        };
        out.push_str(&tag[..skipped]);
        rest = &tag[skipped..];
    }
    out.push_str(rest);
    out
}

/// The replacement and the length of a generation tag at the start of `text`.
fn generation_tag(text: &str) -> Option<(String, usize)> {
    let inner = text.strip_prefix("{%")?;
    let close = inner.find("%}")?;
    let inner = &inner[..close];
    let (left, inner) = split_sign(inner, true);
    let (right, inner) = split_sign(inner, false);
    let statement = match inner.trim() {
        "generation" => "if true",
        "endgeneration" => "endif",
        _ => return None,
    };
    Some((format!("{{%{left} {statement} {right}%}}"), close + 4))
}

/// Splits the whitespace control (`-` or `+`) off one end of a tag.
fn split_sign(inner: &str, left: bool) -> (&str, &str) {
    let sign = if left { inner.chars().next() } else { inner.chars().last() };
    match sign {
        Some('-' | '+') if left => inner.split_at(1),
        Some('-' | '+') => {
            let (inner, sign) = inner.split_at(inner.len() - 1);
            (sign, inner)
        }
        _ => ("", inner),
    }
}

#[cfg(test)]
mod tests {
    use super::prepare;

    #[test]
    fn generation_becomes_if() {
        assert_eq!(prepare("a{%- generation -%}b{% endgeneration %}c"), "a{%- if true -%}b{% endif %}c");
    }

    #[test]
    fn comments_and_other_tags_stay() {
        let source = "{# {% generation %} #}{{ generation }}{% if generation %}{% endif %}{";
        assert_eq!(prepare(source), source);
    }

    #[test]
    fn line_ends() {
        assert_eq!(prepare("a\r\nb\rc"), "a\nb\nc");
    }
}
