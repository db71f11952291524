use super::*;

/// Every byte is a token; 256 is text that looks like a tag, 257 a control token, 258 ends.
fn vocabulary() -> Arc<Vocabulary> {
    let bytes: Vec<u8> = (0..=255).collect();
    let mut tokens: Vec<(TokenKind, &[u8])> = bytes.chunks(1).map(|b| (TokenKind::Text, b)).collect();
    tokens.push((TokenKind::Text, b"<tool_call>"));
    tokens.push((TokenKind::Control, b"[CALLS]"));
    tokens.push((TokenKind::Control, b"<|end|>"));
    Arc::new(Vocabulary::new(&tokens, &[258]).unwrap())
}

fn compile(text: &str) -> Result<Arc<Grammar>, Failure> {
    Grammar::compile(&vocabulary(), text).map(Arc::new)
}

fn allowed(running: &mut Running) -> Vec<u32> {
    let mut words = [0u32; 9];
    running.mask(&mut words).unwrap();
    (0..259).filter(|t| words[t / 32] >> (t % 32) & 1 == 1).map(|t| t as u32).collect()
}

#[test]
fn masks_follow_the_text() {
    let grammar = compile(r#"start: "ab" | "ac""#).unwrap();
    let mut running = grammar.start();
    assert_eq!(allowed(&mut running), [b'a' as u32]);
    running.accept(b'a' as u32).unwrap();
    assert_eq!(allowed(&mut running), [b'b' as u32, b'c' as u32]);
    running.accept_text(b"c").unwrap();
    assert!(running.ended());
    assert_eq!(allowed(&mut running), [258]);
    assert!(grammar.start().accept(b'x' as u32).is_err());
}

#[test]
fn forced_text_is_told_and_changes_nothing() {
    let grammar = compile(r#"start: "a" ("bcd" | "xyz") <[257]> "e""#).unwrap();
    let mut running = grammar.start();
    assert_eq!(running.forced(), b"a");
    assert_eq!(allowed(&mut running), [b'a' as u32]);
    running.accept(b'a' as u32).unwrap();
    assert_eq!(running.forced(), b"");
    running.accept(b'x' as u32).unwrap();
    assert_eq!(running.forced(), b"yz\xFF[257]e");
    for token in [b'y' as u32, b'z' as u32, 257, b'e' as u32] {
        assert_eq!(allowed(&mut running), [token]);
        running.accept(token).unwrap();
    }
    assert!(running.ended());
    assert_eq!(running.forced(), b"");
}

#[test]
fn control_tokens_are_allowed_by_id_alone() {
    let mut running = compile(r#"start: <[257]> /(?s:.*)/"#).unwrap().start();
    assert_eq!(allowed(&mut running), [257]);
    running.accept(257).unwrap();
    let after = allowed(&mut running);
    assert!(after.contains(&256) && after.contains(&258) && !after.contains(&257));
}

#[test]
fn schemas_and_what_of_them_is_ignored() {
    let text = r#"start: %json {"x-guidance": {"lenient": true}, "type": "array", "items": {"type": "integer"},
                 "uniqueItems": true}"#;
    let grammar = compile(text).unwrap();
    assert!(grammar.warnings[0].contains("uniqueItems"), "{:?}", grammar.warnings);
    grammar.start().accept_text(b"[1, 22]").unwrap();
    assert!(grammar.start().accept_text(b"[\"1\"]").is_err());
}

#[test]
fn errors_are_words() {
    for bad in [
        "",
        "start: x",
        "start: /(/",
        r#"start: %json {"type": 3}"#,
        "start: <[9999]>",
        r##"start: %json {"$ref":"#"}"##,
    ] {
        let failure = compile(bad).err().unwrap_or_else(|| panic!("{bad:?} was compiled"));
        assert_eq!(failure.kind, FailureKind::Grammar, "{bad}");
        assert!(!failure.message.is_empty());
    }
}

#[test]
fn used_matchers_begin_anew() {
    let grammar = compile(r#"start: "ab" | "ac""#).unwrap();
    for _ in 0..3 {
        let mut running = grammar.start();
        assert_eq!(allowed(&mut running), [b'a' as u32]);
        running.accept_text(b"ab").unwrap();
        assert!(running.ended());
    }
    let _ = grammar.start().accept(b'x' as u32);
    assert_eq!(allowed(&mut grammar.start()), [b'a' as u32]);
}

#[test]
fn no_tokens_or_none_that_end() {
    assert!(Vocabulary::new(&[], &[]).is_err());
    let vocabulary = Arc::new(Vocabulary::new(&[(TokenKind::Text, b"a")], &[7]).unwrap());
    let mut running = Arc::new(Grammar::compile(&vocabulary, r#"start: "a""#).unwrap()).start();
    running.accept(0).unwrap();
    let mut words = [0xFFu32];
    running.mask(&mut words).unwrap();
    assert_eq!((words[0], running.ended()), (0b10, true));
}

#[test]
fn hostile_grammars_are_bounded() {
    let nested = format!("{}1{}", "(".repeat(100_000), ")".repeat(100_000));
    let deep_schema = format!("{}{{}}{}", r#"{"items":"#.repeat(5_000), "}".repeat(5_000));
    let wide: Vec<String> = (0..40_000).map(|i| format!(r#""p{i}":{{"type":"string"}}"#)).collect();
    let loops = r##"{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}}"##;
    let all_of =
        r##"{"$ref":"#/$defs/a","$defs":{"a":{"allOf":[{"$ref":"#/$defs/a"},{"$ref":"#/$defs/a"}]}}}"##;
    for (hostile, compiles) in [
        (format!("start: /{nested}/"), false),
        (format!("start: {nested}"), false),
        (format!("start: %json {deep_schema}"), false),
        (format!(r#"start: %json {{"properties":{{{}}}}}"#, wide.join(",")), false),
        (format!("start: %json {loops}"), false),
        (format!("start: %json {all_of}"), false),
        (r#"start: %json {"type":"string","pattern":"^((a{1,1000}){1,1000}){1,1000}$"}"#.into(), true),
        (r#"start: %json {"type":"string","maxLength":100000000}"#.into(), true),
        (r#"start: %json {"type":"array","items":{"type":"integer"},"minItems":1000000000}"#.into(), true),
        ("start: /(a|b)*a(a|b){400}/".into(), true),
        ("start: start start | \"a\"".into(), true),
        ("start: a a a a\na: b b b b\nb: c c c c\nc: \"x\" | c c | \"y\" c".into(), true),
    ] {
        let grammar = compile(&hostile);
        assert_eq!(grammar.is_ok(), compiles, "{hostile:.80}");
        let Ok(grammar) = grammar else { continue };
        let mut running = grammar.start();
        let mut words = [0u32; 9];
        for _ in 0..200 {
            // It ends in an error or goes on, but within its limits.
            if running.mask(&mut words).is_err() || running.ended() {
                break;
            }
            let token =
                (0..256u32).rev().find(|t| words[*t as usize / 32] >> (t % 32) & 1 == 1).unwrap_or(258);
            if token == 258 || running.accept(token).is_err() {
                break;
            }
        }
    }
}
