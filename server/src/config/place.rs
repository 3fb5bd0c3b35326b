//! From a place in the text of a file to a field, and back.

use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// The line of a byte, counted from 1.
pub(super) fn line_of(text: &str, byte: usize) -> usize {
    text.as_bytes()[..byte.min(text.len())].iter().filter(|b| **b == b'\n').count() + 1
}

/// The field whose key or value holds the given span: the innermost one.
pub(super) fn field_at(text: &str, span: &Range<usize>) -> Option<String> {
    let table = DeTable::parse(text).ok()?;
    let mut path = Vec::new();
    descend(table.get_ref(), span, &mut path);
    (!path.is_empty()).then(|| path.join("."))
}

fn descend(table: &DeTable<'_>, span: &Range<usize>, path: &mut Vec<String>) {
    for (key, value) in table {
        if covers(&key.span(), span) {
            return path.push(key.get_ref().to_string());
        }
        if covers(&value.span(), span) || within(value.get_ref(), span) {
            path.push(key.get_ref().to_string());
            return descend_value(value.get_ref(), span, path);
        }
    }
}

fn descend_value(value: &DeValue<'_>, span: &Range<usize>, path: &mut Vec<String>) {
    match value {
        DeValue::Table(table) => descend(table, span, path),
        DeValue::Array(array) => {
            let hit = |v: &toml::Spanned<DeValue<'_>>| {
                covers(&v.span(), span) || within(v.get_ref(), span)
            };
            if let Some(at) = array.iter().position(hit) {
                path.push(at.to_string());
                descend_value(array[at].get_ref(), span, path);
            }
        }
        _ => {}
    }
}

/// Whether a table or array holds the span somewhere below: the span of a table with a header is
/// that of the header alone.
fn within(value: &DeValue<'_>, span: &Range<usize>) -> bool {
    match value {
        DeValue::Table(table) => table.iter().any(|(key, value)| {
            covers(&key.span(), span)
                || covers(&value.span(), span)
                || within(value.get_ref(), span)
        }),
        DeValue::Array(array) => {
            array.iter().any(|v| covers(&v.span(), span) || within(v.get_ref(), span))
        }
        _ => false,
    }
}

fn covers(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end && outer.start < outer.end
}

/// The line of the deepest part of `field` (`section.key`, `worlds.0.name`) that the text has.
pub(super) fn line_of_field(text: &str, field: &str) -> Option<usize> {
    let table = DeTable::parse(text).ok()?;
    let mut value = DeValue::Table(table.into_inner());
    let mut line = None;
    for part in field.split('.') {
        let (start, next) = match value {
            DeValue::Table(table) => {
                let (key, value) = table.into_iter().find(|(key, _)| key.get_ref() == part)?;
                (key.span().start, value.into_inner())
            }
            DeValue::Array(array) => {
                let item = array.into_iter().nth(part.parse().ok()?)?;
                (item.span().start, item.into_inner())
            }
            _ => return line,
        };
        line = Some(line_of(text, start));
        value = next;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[limits]\nabuse_ms = 5\n\n[[worlds]]\nname = \"a\"\n[[worlds]]\nname = 7\n";

    #[test]
    fn a_field_is_found_by_its_span() {
        let at = TEXT.find('7').expect("is there");
        assert_eq!(field_at(TEXT, &(at..at + 1)).as_deref(), Some("worlds.1.name"));
        let at = TEXT.find("abuse").expect("is there");
        assert_eq!(field_at(TEXT, &(at..at + 8)).as_deref(), Some("limits.abuse_ms"));
    }

    #[test]
    fn a_field_is_found_by_its_name() {
        assert_eq!(line_of_field(TEXT, "limits.abuse_ms"), Some(2));
        assert_eq!(line_of_field(TEXT, "worlds.1.name"), Some(7));
        assert_eq!(line_of_field(TEXT, "limits.other"), None);
    }
}
