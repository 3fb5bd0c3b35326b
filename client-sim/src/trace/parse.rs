//! Numbers out of text, with a reason when there is none.

/// A finite number.
pub(super) fn number(name: &str, text: &str) -> Result<f64, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err(format!("{name} is empty"));
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        Ok(_) => Err(format!("{name} `{}` is not finite", shown(text))),
        Err(_) => Err(format!("{name} `{}` is not a number", shown(text))),
    }
}

/// A finite number, or nothing when the cell is empty.
pub(super) fn optional(name: &str, text: Option<&str>) -> Result<Option<f64>, String> {
    match text.map(str::trim) {
        None | Some("") => Ok(None),
        Some(text) => number(name, text).map(Some),
    }
}

/// A WGS84 position in range.
pub(super) fn geodetic(lat_deg: f64, lon_deg: f64, alt_m: f64) -> Result<[f64; 3], String> {
    if lat_deg.abs() > 90.0 {
        return Err(format!("latitude {lat_deg} is outside -90..90"));
    }
    if lon_deg.abs() > 180.0 {
        return Err(format!("longitude {lon_deg} is outside -180..180"));
    }
    Ok([lat_deg, lon_deg, alt_m])
}

/// Text short enough for a report.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}
