//! Values of a query in a URL.

/// Undoes the percent encoding of a value; `None` when it is not UTF-8.
pub(super) fn decoded(value: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(value.len()), value.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let hex = |digit: u8| char::from(digit).to_digit(16).map(|digit| digit as u8);
        let pair = |high, low| Some(hex(high)? << 4 | hex(low)?);
        (rest, _) = match (first, after) {
            (b'%', [high, low, after @ ..]) => match pair(*high, *low) {
                Some(byte) => (after, bytes.push(byte)),
                None => (&rest[1..], bytes.push(b'%')),
            },
            (b'+', after) => (after, bytes.push(b' ')),
            (byte, after) => (after, bytes.push(*byte)),
        };
    }
    String::from_utf8(bytes).ok()
}
