//! What a template may cost, and how its failures are told apart.
use super::*;

fn render(source: &str) -> Result<String, Failure> {
    render_with(source, "[]")
}

fn render_with(source: &str, messages: &str) -> Result<String, Failure> {
    Template::compile(source, r#"{"bos_token":"<s>"}"#)?.render(input(messages))
}

fn input(messages: &str) -> Input {
    Input {
        messages: messages.into(),
        tools: String::new(),
        variables: String::new(),
        add_generation_prompt: true,
        now: shims::clock::LocalTime { unix_s: 0, utc_offset_s: 0 },
    }
}

fn failure(source: &str) -> Failure {
    match render(source) {
        Ok(text) => panic!("{source:.60} gave {} bytes", text.len()),
        Err(failure) => failure,
    }
}

#[test]
fn variables() {
    assert_eq!(
        render("{{ bos_token }}{{ add_generation_prompt }}{{ tools }}{{ x }}").unwrap(),
        "<s>TrueNone"
    );
}

#[test]
fn a_raise_is_told_from_an_error() {
    let raised = failure("\n{% macro m() %}{{ raise_exception('No system role') }}{% endmacro %}{{ m() }}");
    assert_eq!(
        (raised.kind, raised.message.as_str(), raised.line),
        (FailureKind::Raised, "No system role", 2)
    );
    let unknown = failure("a\n{{ x|nosuch }}");
    assert_eq!((unknown.kind, unknown.line), (FailureKind::Template, 2));
    assert_eq!(failure("{% if %}").kind, FailureKind::Template);
}

#[test]
fn input_must_be_json() {
    assert_eq!(render_with("", "[").unwrap_err().kind, FailureKind::Input);
}

// What a request holds is refused before it costs memory: the guard is for templates, and whom it stops
// once is never tried again.
#[test]
fn values_of_the_input_are_limited() {
    let template = Template::compile("{{ messages|length }}", "").unwrap();
    let list = |n: usize| format!("[{}0]", r#"{"":0},"#.repeat(n));
    let most = (MAX_INPUT_VALUES - 1) / 2;
    let refused = template.render(input(&list(1_900_000))).unwrap_err();
    assert_eq!(refused.kind, FailureKind::Limit);
    assert_eq!(template.render(input(&list(most + 1))).unwrap_err().kind, FailureKind::Limit);
    assert_eq!(template.render(input(&list(most))).unwrap(), (most + 1).to_string());
    let text = format!(r#"["\"{}"]"#, "[{,".repeat(MAX_INPUT_VALUES));
    assert_eq!(template.render(input(&text)).unwrap(), "1", "text is no values");
}

#[test]
fn hostile_templates_end() {
    let sources = [
        "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
        "{% for i in range(10**18) %}{% endfor %}",
        "{% set ns = namespace(s='x' * 1000) %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
        "{% set ns = namespace(s='x' * 1000) %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
        "{% set ns = namespace(s='xx') %}{% for i in range(60) %}{% set ns.s = ns.s.replace('x', 'xx') %}{% endfor %}",
        "{% set ns = namespace(s='xx') %}{% for i in range(60) %}{% set ns.s = ns.s|replace('', ns.s) %}{% endfor %}",
        "{% set ns = namespace(s='xx') %}{% for i in range(60) %}{% set ns.s = ns.s.join([ns.s] * 100) %}{% endfor %}",
        "{% set ns = namespace(s='xx') %}{% for i in range(60) %}{% set ns.s = [ns.s, ns.s]|join %}{% endfor %}",
        "{% set ns = namespace(s=['x']) %}{% for i in range(60) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s }}",
        "{% set ns = namespace(s=['x']) %}{% for i in range(60) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s|tojson }}",
        "{% set ns = namespace(s=['x']) %}{% for i in range(60) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s|string }}",
        "{% set ns = namespace(s=['x']) %}{% for i in range(60) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ [ns.s]|join }}",
        "{{ ['x' * 100000] * 90000000 }}",
        "{{ (['x' * 100000] * 90000000)|tojson }}",
        "{{ 'x'.ljust(10**15) }}",
        "{{ 'x'.zfill(10**15) }}",
        "{{ 'a\nb'|indent(10**15) }}",
        "{{ [1]|tojson(indent=10**15) }}",
        "{{ '%1000000000000s'|format('x') }}",
        "{{ '{:1000000000000}'.format('x') }}",
        "{{ '{:1000000000}'.format('x') }}",
        "{{ 'x' * 10**15 }}",
        "{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}",
        "{% macro m(n) %}{{ m(n + 1) }}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}",
        "{% for x in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}",
        "{{ range(10**9)|list|length }}",
        "{{ range(10**9)|sum }}",
        "{% set ns = namespace(s=[1]) %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}{{ ns.s|length }}{{ ns.s }}",
    ];
    for source in sources {
        let failure = failure(source);
        assert!(
            matches!(failure.kind, FailureKind::Limit | FailureKind::Template | FailureKind::GivenUp),
            "{source:.80}: {failure:?}"
        );
        assert!(failure.message.len() < 2000, "{source:.80}: {} bytes of message", failure.message.len());
    }
}

#[test]
fn sources_are_limited() {
    assert_eq!(failure(&"x".repeat(MAX_SOURCE_BYTES + 1)).kind, FailureKind::Limit);
    let deep = format!("{{{{ {}1{} }}}}", "(".repeat(100_000), ")".repeat(100_000));
    assert_eq!(failure(&deep).kind, FailureKind::Template);
    let _ = render(&"{% if x %}".repeat(50_000));
    let _ = render(&"{% for x in y %}".repeat(50_000));
    let _ = render(&format!("{{{{ x{} }}}}", ".y".repeat(100_000)));
    let _ = render(&format!("{{{{ x{} }}}}", "|d".repeat(100_000)));
    let _ = render(&format!("{{{{ x{} }}}}", "[0]".repeat(100_000)));
    let _ = render(&format!("{{{{ 1{} }}}}", "+1".repeat(100_000)));
    let _ = render(&format!("{{{{ {}x }}}}", "not ".repeat(100_000)));
    let _ = render(&format!("{{{{ {}x }}}}", "-".repeat(100_000)));
    let _ = render(&format!("{{{{ x{} }}}}", " if x else x".repeat(50_000)));
    let _ = render(&format!("{{{{ x{} }}}}", " ~ x".repeat(100_000)));
}

// What the engine compares or prints without charging is stopped by the guard, and not tried again.
#[test]
fn lists_that_hold_themselves_twice_over() {
    for then in ["{% if a ~ '' %}{% endif %}", "{{ a == b }}", "{{ a|upper }}", "{{ '%s'|format(a) }}"] {
        let source = format!(
            "{{% set ns = namespace(a=['x'], b=['x']) %}}{{% for i in range(60) %}}{{% set ns.a = [ns.a, ns.a] %}}\
             {{% set ns.b = [ns.b, ns.b] %}}{{% endfor %}}{{% set a = ns.a %}}{{% set b = ns.b %}}{then}"
        );
        let template = Template::compile(&source, "").unwrap();
        assert_eq!(template.render(input("[]")).unwrap_err().kind, FailureKind::GivenUp, "{then}");
        assert_eq!(template.render(input("[]")).unwrap_err().kind, FailureKind::Limit, "{then}");
    }
}

// A value nested as deep as the fuel allows is freed and compared without overflowing the stack.
#[test]
fn deeply_nested_values() {
    let nest = |wrap: &str, then: &str| {
        format!(
            "{{% set a = namespace(v=0) %}}{{% set b = namespace(v=0) %}}{{% for i in range(90000) %}}\
             {{% set a.v = {wrap} %}}{{% endfor %}}{then}"
        )
    };
    for wrap in ["[a.v]", "{'x': a.v}", "(a.v,)", "[a.v][:]", "[a.v] + []", "[a.v]|list", "namespace(v=a.v)"]
    {
        for then in [
            "",
            "{{ a.v == a.v }}",
            "{{ a.v in [a.v] }}",
            "{{ [a.v, a.v]|unique|length }}",
            "{{ [a.v, a.v]|sort|length }}",
            "{{ a.v }}",
            "{{ a.v|tojson }}",
            "{{ a.v ~ '' }}",
        ] {
            let _ = render(&nest(wrap, then));
        }
    }
}
