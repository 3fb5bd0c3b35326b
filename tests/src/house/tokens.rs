//! Just enough of Rust's grammar to see what a source names: no comment, no string, no test code.

/// One word or sign of a source, with its line counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// The characters; `::` is one token, any other sign is one character.
    pub text: &'a str,
    /// Where it stands.
    pub line: usize,
}

/// A path that a source names, by `use` or in full: `std::time::Instant`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPath<'a> {
    /// Its segments; a glob ends in `*`.
    pub segments: Vec<&'a str>,
    /// Where it stands.
    pub line: usize,
}

impl NamedPath<'_> {
    /// Whether the path lies below `prefix`, written with `::`.
    #[must_use]
    pub fn starts_with(&self, prefix: &str) -> bool {
        let mut mine = self.segments.iter();
        prefix.split("::").all(|wanted| mine.next() == Some(&wanted))
    }
}

/// Splits a source into tokens, without comments and literals.
#[must_use]
pub fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut lexer = Lexer { source, at: 0, line: 1 };
    std::iter::from_fn(|| lexer.next_token()).collect()
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    line: usize,
}

impl<'a> Lexer<'a> {
    fn next_token(&mut self) -> Option<Token<'a>> {
        loop {
            let rest = &self.source[self.at..];
            let first = rest.chars().next()?;
            let skipped = match first {
                _ if first.is_whitespace() => first.len_utf8(),
                '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
                '/' if rest.starts_with("/*") => block_comment(rest),
                _ => match literal(rest) {
                    Some(length) => length,
                    None => return Some(self.take(word(rest))),
                },
            };
            self.take(skipped);
        }
    }

    fn take(&mut self, length: usize) -> Token<'a> {
        let text = &self.source[self.at..self.at + length];
        let token = Token { text, line: self.line };
        self.line += text.matches('\n').count();
        self.at += length;
        token
    }
}

fn word(rest: &str) -> usize {
    let name = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    match name {
        0 if rest.starts_with("::") => 2,
        0 => rest.chars().next().map_or(0, char::len_utf8),
        length => length,
    }
}

/// Length of a block comment, which may hold others.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// Length of the string or character literal at the start, if there is one.
fn literal(rest: &str) -> Option<usize> {
    let unprefixed = rest.trim_start_matches(['b', 'c', 'r']);
    let prefix = rest.len() - unprefixed.len();
    if prefix > 2 {
        return None;
    }
    let hashes = unprefixed.len() - unprefixed.trim_start_matches('#').len();
    let raw = rest[..prefix].contains('r');
    if unprefixed[hashes..].starts_with('"') && (raw || hashes == 0) {
        let body = &unprefixed[hashes + 1..];
        let length = if raw { raw_string(body, hashes) } else { until_quote(body, '"') };
        return Some(prefix + hashes + 1 + length);
    }
    let body = unprefixed.strip_prefix('\'').filter(|_| prefix == 0 || rest.starts_with("b'"))?;
    is_character(body).then(|| prefix + 1 + until_quote(body, '\''))
}

/// `'a'` is a character and `'a` a lifetime: the closing quote tells them apart.
fn is_character(body: &str) -> bool {
    let mut characters = body.chars();
    characters.next().is_some_and(|first| first == '\\' || characters.next() == Some('\''))
}

fn raw_string(body: &str, hashes: usize) -> usize {
    let end = format!("\"{}", "#".repeat(hashes));
    body.find(&end).map_or(body.len(), |at| at + end.len())
}

fn until_quote(body: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in body.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return at + 1,
            _ => {}
        }
    }
    body.len()
}

/// The tokens without items behind `#[cfg(test)]`, which do not ship.
#[must_use]
pub fn shipped<'a>(tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    without(tokens, &["#", "[", "cfg", "(", "test", ")", "]"])
}

/// The tokens without items that a feature adds; which one stands in a literal and is not seen.
#[must_use]
pub fn without_features<'a>(tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    without(tokens, &["#", "[", "cfg", "(", "feature", "=", ")", "]"])
}

/// The tokens without the items that this attribute stands before.
fn without<'a>(tokens: &[Token<'a>], attribute: &[&str]) -> Vec<Token<'a>> {
    let mut kept = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        if texts(tokens, at, attribute) {
            at = item_end(tokens, at + attribute.len());
        } else {
            kept.push(tokens[at]);
            at += 1;
        }
    }
    kept
}

/// Whether the tokens from `at` on read as given.
#[must_use]
pub fn texts(tokens: &[Token<'_>], at: usize, wanted: &[&str]) -> bool {
    let found = tokens.iter().skip(at).map(|token| token.text);
    found.take(wanted.len()).eq(wanted.iter().copied())
}

/// Index after the item that starts at `at`: past its block, or past its semicolon.
fn item_end(tokens: &[Token<'_>], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while let Some(token) = tokens.get(at) {
        at += 1;
        match token.text {
            "{" => depth += 1,
            "}" if depth <= 1 => return at,
            "}" => depth -= 1,
            ";" if depth == 0 => return at,
            _ => {}
        }
    }
    at
}

/// Every path of two or more segments, with `use` trees unfolded.
#[must_use]
pub fn paths<'a>(tokens: &[Token<'a>]) -> Vec<NamedPath<'a>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match is_name(tokens[at].text) && texts(tokens, at + 1, &["::"]) {
            true => at = unfold(tokens, at, &[], &mut found),
            false => at += 1,
        }
    }
    found
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Follows one path, branching at braces; returns the index after it.
fn unfold<'a>(
    tokens: &[Token<'a>],
    mut at: usize,
    before: &[&'a str],
    found: &mut Vec<NamedPath<'a>>,
) -> usize {
    let mut segments = before.to_vec();
    let line = tokens[at].line;
    while let Some(token) = tokens.get(at) {
        match token.text {
            "{" if !segments.is_empty() => return branches(tokens, at + 1, &segments, found),
            text if is_name(text) || text == "*" => segments.push(text),
            _ => break,
        }
        at += 1;
        if !texts(tokens, at, &["::"]) {
            break;
        }
        at += 1;
    }
    found.push(NamedPath { segments, line });
    at
}

/// Follows the comma-separated branches of a `use` tree up to its closing brace.
fn branches<'a>(
    tokens: &[Token<'a>],
    mut at: usize,
    before: &[&'a str],
    found: &mut Vec<NamedPath<'a>>,
) -> usize {
    while let Some(token) = tokens.get(at) {
        match token.text {
            "}" => return at + 1,
            "as" => at += 2,
            text if is_name(text) || text == "*" => at = unfold(tokens, at, before, found),
            _ => at += 1,
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> Vec<&str> {
        tokens(source).iter().map(|token| token.text).collect()
    }

    fn named(source: &str) -> Vec<String> {
        paths(&tokens(source)).iter().map(|path| path.segments.join("::")).collect()
    }

    #[test]
    fn comments_and_literals_are_not_seen() {
        let source = r###"a /* b /* c */ d */ e // f
            "g \" h" b"i" r#"j " k"# 'l' '\'' b'm' n"###;
        assert_eq!(words(source), ["a", "e", "n"]);
    }

    #[test]
    fn a_lifetime_is_no_character() {
        assert_eq!(words("fn f<'a>(x: &'a str)").last(), Some(&")"));
        assert!(words("fn f<'a>(x: &'a str) { g }").contains(&"g"));
    }

    #[test]
    fn lines_are_counted_through_literals() {
        let found = tokens("a\n\"b\nc\"\nd");
        assert_eq!(found.last().map(|token| token.line), Some(4));
    }

    #[test]
    fn test_items_do_not_ship() {
        let all =
            tokens("fn a() {} #[cfg(test)] mod t { fn b() {} } #[cfg(test)] use c; fn d() {}");
        let kept: Vec<_> = shipped(&all).iter().map(|token| token.text).collect();
        assert!(kept.contains(&"a") && kept.contains(&"d"));
        assert!(!kept.contains(&"b") && !kept.contains(&"c"));
    }

    #[test]
    fn items_of_a_feature_can_be_left_out() {
        let all = tokens("#[cfg(feature = \"net\")] pub mod net; mod view;");
        let kept: Vec<_> = without_features(&all).iter().map(|token| token.text).collect();
        assert_eq!(kept, ["mod", "view", ";"]);
    }

    #[test]
    fn use_trees_are_unfolded() {
        let found = named("use std::{time::{Duration, Instant as I}, net::*}; x::y::<T>::new()");
        assert_eq!(found[..3], ["std::time::Duration", "std::time::Instant", "std::net::*"]);
        assert_eq!(found[3], "x::y");
    }
}
