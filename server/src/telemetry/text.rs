//! Text of strangers, made safe for a log.

use std::fmt;

/// Bytes of a stranger's text that a log shows.
const SHOWN_BYTES: usize = 128;

/// Text of a client: escaped, so that it cannot forge a line or steer a terminal, and cut.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = 0;
        for character in self.0.chars() {
            let plain =
                character == ' ' || character.is_ascii_graphic() || character.is_alphanumeric();
            let width =
                if plain { character.len_utf8() } else { character.escape_unicode().count() };
            if shown + width > SHOWN_BYTES {
                return f.write_str("…");
            }
            shown += width;
            match plain {
                true => fmt::Write::write_char(f, character)?,
                false => write!(f, "{}", character.escape_unicode())?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_forge_a_line_or_steer_a_terminal_is_escaped() {
        for (text, shown) in [
            ("plain name-7", "plain name-7"),
            ("a\nINFO all is well", "a\\u{a}INFO all is well"),
            ("\u{1b}[2Jgone", "\\u{1b}[2Jgone"),
            ("right\u{202e}left", "right\\u{202e}left"),
            ("tab\tnul\0", "tab\\u{9}nul\\u{0}"),
            ("Żółw", "Żółw"),
        ] {
            assert_eq!(Quoted(text).to_string(), shown);
        }
    }

    #[test]
    fn a_long_text_is_cut() {
        let shown = Quoted(&"a".repeat(65_536)).to_string();
        assert_eq!(shown.len(), SHOWN_BYTES + "…".len());
        let shown = Quoted(&"\n".repeat(65_536)).to_string();
        assert!(shown.len() <= SHOWN_BYTES + "…".len() && shown.ends_with('…'));
    }
}
